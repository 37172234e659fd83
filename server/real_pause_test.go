//go:build unix

package server_test

import (
	"bufio"
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
)

// caller is a process with a client. Its arguments: transport, address. It
// makes a call of hang for each order, and says how it ended.
var caller = role("caller", func(orders *bufio.Scanner, args []string) error {
	c, err := client.Dial(context.Background(), client.Config{
		Transport: overWire(args[0], kith.NewKey()), Addrs: args[1:],
	})
	if err != nil {
		return err
	}
	for orders.Scan() {
		got, err := hang.Call(context.Background(), c, orders.Text())
		say("got %s, %v, %d lost", got, err, c.Stats().Drops)
	}
	return c.Close()
})

// A client process stands still for five seconds, as it does in a debugger or
// on a busy machine. It is not dropped, its call goes on, and nobody else notices.
func TestRealPause(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 5 s")
	}
	const pause = 5 * time.Second
	for _, name := range []string{"tcp", "quic"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := overWire(name, kith.NewKey())
			t.Cleanup(func() { _ = tr.Close() })
			started, release := make(chan string, 1), make(chan struct{})
			r := start(t, tr, hanging(started, release), nil)
			c := startChild(t, caller, name, r.addr.String())
			c.order("for good")
			<-started
			if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			over := time.After(pause)
			other := r.dial(t)
			calls := 0
			for paused := true; paused; calls++ {
				if _, err := echo.Call(t.Context(), other, []byte("x")); err != nil {
					t.Fatalf("Call of another client = %v, want nil", err)
				}
				select {
				case <-over:
					paused = false
				case <-time.After(10 * time.Millisecond):
				}
			}
			if st := r.Stats(); st.Conns != 2 || st.Calls != 1 {
				t.Errorf("Stats() after the pause = %+v, want 2 connections and the call", st)
			}
			close(release)
			if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			if got := c.expect("got"); got != "released, <nil>, 0 lost" {
				t.Errorf("the call ended with %q, want its answer, over the connection that it began on", got)
			}
			t.Logf("%d calls of another client meanwhile", calls)
		})
	}
}
