package netconn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/netconn"
)

// A bare pipe has nothing but what a Pipe must have.
type bare struct {
	io.Reader
	io.Writer
	io.Closer
}

func barePipe() (a, b netconn.Pipe) {
	x, y := net.Pipe()
	return bare{x, x, x}, bare{y, y, y}
}

func TestPipeConn(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if got := netconn.PipeConn(near); got != near {
		t.Errorf("PipeConn(net.Conn) = %v, want it as it is", got)
	}
	c := netconn.PipeConn(bare{near, near, near})
	if l, r := c.LocalAddr(), c.RemoteAddr(); l != nil || r != nil {
		t.Errorf("LocalAddr(), RemoteAddr() = %v, %v, want nil", l, r)
	}
	for name, set := range map[string]func(time.Time) error{
		"SetDeadline": c.SetDeadline, "SetReadDeadline": c.SetReadDeadline, "SetWriteDeadline": c.SetWriteDeadline,
	} {
		if err := set(time.Time{}); !errors.Is(err, os.ErrNoDeadline) {
			t.Errorf("%s() = %v, want %v", name, err, os.ErrNoDeadline)
		}
	}
}

// TestPipeConnDials has functions that dial and listen with bare pipes.
func TestPipeConnDials(t *testing.T) {
	for _, plain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			inner := &scriptedListener{conns: make(chan net.Conn), done: make(chan struct{})}
			tr := netconn.New(netconn.Config{
				Scheme: "bare", Plaintext: plain,
				Dial: func(context.Context, transport.Addr) (net.Conn, error) {
					a, b := barePipe()
					inner.conns <- netconn.PipeConn(b)
					return netconn.PipeConn(a), nil
				},
				Listen: func(context.Context, transport.Addr) (net.Listener, error) { return inner, nil },
			})
			defer tr.Close()
			ln, err := tr.Listen(t.Context(), transport.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := tr.Dial(t.Context(), ln.Addr())
			if err != nil {
				t.Fatal(err)
			}
			far, err := ln.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			near, info := c.Info(), far.Info()
			if near.Remote.Path != "/scripted" || info.Remote.Path != "" || near.Peer != tr.ID() || info.Peer != tr.ID() {
				t.Errorf("Info() = %+v and %+v", near, info)
			}
			far.Context() // reads, as the pipe holds nothing
			if err := c.CloseWithError(kith.Aborted, "done"); err != nil {
				t.Errorf("CloseWithError() = %v", err)
			}
			<-far.Context().Done()
			if ce := transport.ConnErr(far.Context()); ce.Reason != "done" {
				t.Errorf("the connection ended with %v, want the reason given", ce)
			}
		})
	}
}

// TestRefusalUnread has a stranger at the other end of a pipe that has no
// deadlines, who does not read what it is told.
func TestRefusalUnread(t *testing.T) {
	for _, plain := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			tr := netconn.New(netconn.Config{Scheme: "pipe", Plaintext: plain})
			defer tr.Close()
			far, near := barePipe()
			wrote := make(chan struct{})
			go func() {
				defer close(wrote)
				io.WriteString(far, "GET / HTTP/1.1\r\n\r\n")
			}()
			start := time.Now()
			_, err := tr.Server(t.Context(), near)
			wantProtocolError(t, err, "HTTP")
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("Server() = %v after %v, want it within the handshake's time", err, took)
			}
			<-wrote
		})
	}
}

// TestEndedBefore starts nothing for a ctx that has ended.
func TestEndedBefore(t *testing.T) {
	tr := netconn.New(netconn.Config{
		Scheme: "pipe", Plaintext: true,
		Dial: func(context.Context, transport.Addr) (net.Conn, error) {
			t.Error("Dial was called")
			return nil, errors.ErrUnsupported
		},
	})
	defer tr.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Dial(ctx, transport.Addr{Host: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial(ended ctx) = %v, want %v", err, context.Canceled)
	}
}
