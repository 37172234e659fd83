package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// An endpoint is a server in this process or in another one.
type endpoint interface {
	server
	usage() (usage, error)
}

// A localEnd is a server in this process, with burners if asked for.
type localEnd struct {
	server
	burn *burners
}

func (l localEnd) usage() (usage, error) { return usageNow(), nil }

func (l localEnd) Close() error {
	l.burn.stop()
	return l.server.Close()
}

func startLocal(s system, burn bool) (endpoint, error) {
	srv, err := s.serve("")
	if err != nil {
		return nil, err
	}
	return localEnd{srv, startBurners(burn)}, nil
}

// burners are as many goroutines as Go uses cores, which compute and never wait.
type burners struct {
	done atomic.Bool
	wg   sync.WaitGroup
}

// startBurners returns nil, whose stop does nothing, unless on.
func startBurners(on bool) *burners {
	if !on {
		return nil
	}
	b := &burners{}
	for range runtime.GOMAXPROCS(0) {
		b.wg.Go(b.burnLoop)
	}
	return b
}

// burnLoop ends with stop, which waits for it.
func (b *burners) burnLoop() {
	x := uint64(1)
	for !b.done.Load() {
		for range 1 << 10 {
			x = x*6364136223846793005 + 1442695040888963407
		}
	}
	runtime.KeepAlive(x)
}

func (b *burners) stop() {
	if b != nil {
		b.done.Store(true)
		b.wg.Wait()
	}
}

// A childEnd is a server in another process. What is written to its stdin asks for its
// usage; closing it ends the process.
type childEnd struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	addr string
}

// startChild runs this binary as a server, under a command if one is given.
func startChild(ctx context.Context, s system, addr string, burn bool, under ...string) (endpoint, error) {
	cmd, err := childCommand(ctx, under, "serve", "-addr="+addr, fmt.Sprint("-burn=", burn), s.name)
	if err != nil {
		return nil, err
	}
	c := &childEnd{cmd: cmd}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	var hello childHello
	if err := c.out.Decode(&hello); err != nil {
		return nil, fmt.Errorf("the server's process: %w", errors.Join(err, c.Close()))
	}
	c.addr = hello.Addr
	return c, nil
}

// childEnv tells a test binary that it is a child.
const childEnv = "KITH_BENCH_CHILD"

// childCommand is this binary as a child, under a command if one is given: "ip netns exec
// NAME", say.
func childCommand(ctx context.Context, under []string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args = slices.Concat(under, []string{self}, args)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	return cmd, nil
}

// outputOfChild runs a child to its end, and returns what it prints. The error has what it
// said beside.
func outputOfChild(ctx context.Context, under []string, args ...string) ([]byte, error) {
	cmd, err := childCommand(ctx, under, args...)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, bytes.TrimSpace(text.Bytes()))
	}
	return out, nil
}

// childHello is the first line that a child prints.
type childHello struct {
	Addr string `json:"addr"`
}

func (c *childEnd) Addr() string { return c.addr }

func (c *childEnd) usage() (usage, error) {
	var u usage
	if _, err := io.WriteString(c.in, "usage\n"); err != nil {
		return u, err
	}
	return u, c.out.Decode(&u)
}

func (c *childEnd) Close() error {
	_ = c.in.Close() // it ends the process, or the process has ended
	return c.cmd.Wait()
}

// serveMain is the child: "serve [-addr A] [-burn] NAME".
func serveMain(args []string, in io.Reader, out io.Writer) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	addr := fs.String("addr", "", "host:port to listen at")
	burn := fs.Bool("burn", false, "keep all cores busy")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s, err := systemNamed(fs.Arg(0))
	if err != nil {
		return err
	}
	srv, err := s.serve(*addr)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	if err := enc.Encode(childHello{srv.Addr()}); err != nil {
		return errors.Join(err, srv.Close())
	}
	b := startBurners(*burn)
	defer b.stop()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := enc.Encode(usageNow()); err != nil {
			return errors.Join(err, srv.Close())
		}
	}
	return srv.Close()
}

func systemNamed(name string) (system, error) {
	for _, s := range systems {
		if s.name == name {
			return s, nil
		}
	}
	return system{}, fmt.Errorf("no system is called %q", name)
}
