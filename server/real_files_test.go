//go:build unix

package server_test

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/tcp"
)

// fileLimit is a limit of open files that leaves room for some connections.
const fileLimit = 64

// pauper is a process with a server that may open few files. It says
// which pauses it makes because of that, and may open more when it is ordered to.
var pauper = role("pauper", func(orders *bufio.Scanner, _ []string) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	more := limit.Cur
	limit.Cur = fileLimit
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(sayer{}, nil))
	srv, err := server.New(server.Config{Handlers: echoHandlers(), Admit: admit.Anyone(), Logger: log})
	if err != nil {
		return err
	}
	// Silent connections keep their places until they end by themselves.
	tr := tcp.New(tcp.Config{Logger: log, HandshakeTimeout: time.Hour, MaxHandshakesPerSource: -1})
	l, err := tr.Listen(context.Background(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	say("listening %s", l.Addr())
	go func() { _ = srv.Serve(context.Background(), l) }()
	for orders.Scan() {
		limit.Cur = more
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
	}
	return nil
})

// A sayer says what is logged.
type sayer struct{}

func (sayer) Write(p []byte) (int, error) {
	say("log %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// A server runs out of file descriptors, because more clients connect than it
// may have files open. It waits, longer each time, goes on with those it has,
// and takes the others as soon as it can.
func TestRealFileLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const dials = 500
	for name, relieve := range map[string]func(c *child, strangers []net.Conn){
		"limit raised":  func(c *child, _ []net.Conn) { c.order("more") },
		"dials go away": func(_ *child, strangers []net.Conn) { hangUp(strangers) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startChild(t, pauper)
			addr, err := transport.ParseAddr(c.expect("listening"))
			if err != nil {
				t.Fatal(err)
			}
			dialer := tcp.New(tcp.Config{})
			t.Cleanup(func() { _ = dialer.Close() })
			early := dialReal(t, dialer, addr)
			var strangers []net.Conn
			defer func() { hangUp(strangers) }()
			for range dials {
				s, err := net.Dial("tcp", addr.Host)
				if err != nil {
					t.Fatalf("Dial = %v: the system's own queue is full", err)
				}
				strangers = append(strangers, s)
			}
			begin := time.Now()
			var pauses []time.Duration
			for len(pauses) == 0 || pauses[len(pauses)-1] < time.Second {
				pauses = append(pauses, c.expectPause())
			}
			for i, p := range pauses[1:] {
				if p < min(2*pauses[i], time.Second) {
					t.Errorf("pauses %v, want each twice the one before, up to 1s", pauses)
				}
			}
			t.Logf("%d errors of accept in %v", len(pauses), time.Since(begin).Round(time.Millisecond))
			if _, err := echo.Call(t.Context(), early, []byte("still there")); err != nil {
				t.Errorf("Call over a connection of before = %v, want nil", err)
			}
			relieve(c, strangers)
			begin = time.Now()
			late := dialReal(t, dialer, addr)
			if _, err := echo.Call(t.Context(), late, []byte("again")); err != nil {
				t.Errorf("Call over a new connection = %v, want nil", err)
			}
			t.Logf("recovered after %v", time.Since(begin).Round(time.Millisecond))
		})
	}
}

// expectPause reads what a pauper logs up to the next time that it cannot
// accept, and returns how long it waits then.
func (c *child) expectPause() time.Duration {
	c.t.Helper()
	for {
		line := c.expect("log")
		if !strings.Contains(line, "too many open files") {
			continue
		}
		_, text, _ := strings.Cut(line, "retry_in=")
		text, _, _ = strings.Cut(text, " ")
		pause, err := time.ParseDuration(text)
		if err != nil {
			c.t.Fatalf("no pause in %q", line)
		}
		return pause
	}
}

func hangUp(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// dialReal returns a client that is connected.
func dialReal(t *testing.T, tr transport.Transport, addr transport.Addr) *client.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := client.New(client.Config{Transport: tr, Addrs: []string{addr.String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := echo.Call(ctx, c, nil, kith.WaitForReady()); err != nil {
		t.Fatalf("Call = %v, want nil", err)
	}
	return c
}
