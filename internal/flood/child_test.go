package flood_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// A role is what a process started by a benchmark does: it answers one command
// after another, each a line of JSON, and ends when its input does.
type role interface {
	do(c command) (any, error)
	end()
}

// A command is what a benchmark tells a process. Each role knows some of them.
type command struct {
	Do        string
	Transport string  `json:",omitempty"`
	Attack    string  `json:",omitempty"`
	Addr      string  `json:",omitempty"`
	Share     float64 `json:",omitempty"` // processors to burn
	File      string  `json:",omitempty"`
}

// An answer is what a process says to a command.
type answer struct {
	Err   string          `json:",omitempty"`
	Value json.RawMessage `json:",omitempty"`
}

// runChild is the main function of a process started by a benchmark.
func runChild(name string) int {
	var r role
	switch name {
	case "server":
		r = &serverRole{}
	case "attacker":
		r = &attackerRole{}
	case "spinner":
		r = &spinnerRole{}
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", name)
		return 2
	}
	defer r.end()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var c command
		if err := in.Decode(&c); err != nil {
			return 0 // whoever started this process has gone
		}
		var a answer
		v, err := r.do(c)
		if err != nil {
			a.Err = err.Error()
		}
		if a.Value, err = json.Marshal(v); err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return 1
		}
	}
}

// A child is a process that a benchmark started.
type child struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// startChild starts this program again in a role. At the end of b it is killed.
func startChild(b *testing.B, name string) *child {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := &child{name: name, cmd: exec.Command(exe)}
	c.cmd.Env = append(os.Environ(), roleEnv+"="+name)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	return c
}

// do has the process carry a command out, and puts what it answers into v, which
// may be nil.
func (c *child) do(b *testing.B, cmd command, v any) {
	b.Helper()
	if err := json.NewEncoder(c.in).Encode(cmd); err != nil {
		b.Fatalf("%s: %s: %v", c.name, cmd.Do, err)
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		b.Fatalf("%s: %s: no answer: %v", c.name, cmd.Do, err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		b.Fatalf("%s: %s: answer %q: %v", c.name, cmd.Do, line, err)
	}
	if a.Err != "" {
		b.Fatalf("%s: %s: %s", c.name, cmd.Do, a.Err)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(a.Value, v); err != nil {
		b.Fatalf("%s: %s: answer %q: %v", c.name, cmd.Do, line, err)
	}
}
