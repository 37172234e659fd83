package mdns

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// childEnv tells a process that a test started that it is a node.
const childEnv = "KITH_MDNS_CHILD"

// runChild is the main function of such a process.
func runChild(child string) (code int, isNode bool) {
	if child == "" {
		return 0, false
	}
	if err := nodeMain(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1, true
	}
	return 0, true
}

// nodeMain is a node that is told what to do by lines on its standard input, and tells what it
// learns on its standard output: "Found ID sequence address", and so on.
func nodeMain(in io.Reader, out io.Writer) error {
	cfg := Config{Interfaces: Named(strings.Fields(os.Getenv("KITH_MDNS_IFACES"))...), Logger: testLogger(os.Stderr)}
	cfg.NoIPv4 = os.Getenv("KITH_MDNS_NO4") != ""
	cfg.Standalone = os.Getenv("KITH_MDNS_STANDALONE") != ""
	d, err := New(cfg)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	key, addr, seq := kith.NewKey(), "quic://10.9.9.9:1", uint64(time.Now().UnixMicro())
	sign := func(addrs ...string) discovery.Signed {
		seq++
		s, err := discovery.Sign(key, discovery.Record{
			Network: testNetwork, Sequence: seq, Expires: time.Now().Add(time.Hour), Addrs: addrs,
		})
		if err != nil {
			panic(err)
		}
		return s
	}
	var adv discovery.Advertiser
	var br discovery.Browser
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text())
		var err error
		switch words[0] {
		case "ip":
			err = exec.Command("ip", words[1:]...).Run()
		case "id":
			_, err = fmt.Fprintln(out, "id", key.ID())
		case "advertise":
			adv, err = d.Advertise(context.Background(), sign(addr))
		case "update":
			err = adv.Update(sign(words[1]))
		case "leave":
			err = adv.Close(sign())
		case "browse":
			if br, err = d.Browse(context.Background(), testNetwork); err == nil {
				go tellLoop(br, out) // ends with the process
			}
		case "suspect":
			id, parseErr := kith.ParseID(words[1])
			err = parseErr
			br.Suspect(id)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
	}
	return nil
}

func tellLoop(b discovery.Browser, out io.Writer) {
	for {
		ev, err := b.Next(context.Background())
		if err != nil {
			return
		}
		_, _ = fmt.Fprintln(out, ev.Kind, ev.Record.ID, ev.Record.Sequence, strings.Join(ev.Record.Addrs, ","))
	}
}

// A process is a node in a process of its own.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // closed by readLoop
	name  string      // its ID
}

// startNode starts one on the interfaces named, in the network namespace of the test, or with attr elsewhere.
func startNode(t testing.TB, attr *syscall.SysProcAttr, ifaces string, env ...string) *process {
	t.Helper()
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Pdeathsig = syscall.SIGKILL
	p := &process{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 1024)}
	p.cmd.Env = append(append(os.Environ(), childEnv+"=node", "KITH_MDNS_IFACES="+ifaces), env...)
	p.cmd.SysProcAttr = attr
	if testing.Verbose() {
		p.cmd.Stderr = os.Stderr
	}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.readLoop(out) // ends with the process; kill waits for it
	t.Cleanup(p.kill)
	p.tell("id") // when it answers, it is in its network namespace
	p.name = strings.TrimPrefix(p.until("id "), "id ")
	return p
}

func (p *process) readLoop(out io.Reader) {
	defer close(p.lines)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.lines <- lines.Text()
	}
}

// kill is kill -9.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	_ = p.cmd.Process.Kill()
	for range p.lines {
	}
	_ = p.cmd.Wait()
}

func (p *process) tell(line string) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		p.t.Fatalf("tell a node %q: %v", line, err)
	}
}

// until waits for a line that begins so.
func (p *process) until(prefix string) string {
	p.t.Helper()
	bound := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.t.Fatalf("the node ended while waiting for %q", prefix)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		case <-bound:
			p.t.Fatalf("no line %q within %v", prefix, patience)
		}
	}
}

// sync waits until all that the node was told is done.
func (p *process) sync() {
	p.t.Helper()
	p.tell("id")
	p.until("id ")
}

func (p *process) id(t testing.TB) kith.ID {
	t.Helper()
	id, err := kith.ParseID(p.name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
