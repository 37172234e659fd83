package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
)

func TestClose(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		called := make(chan error, 1)
		go func() {
			_, err := hang.Call(t.Context(), c, "")
			called <- err
		}()
		time.Sleep(time.Second)
		var closers sync.WaitGroup
		for range 5 {
			closers.Go(func() { _ = c.Close() })
		}
		closers.Wait()
		if err := <-called; !errors.Is(err, transport.ErrClosed) || kith.Unprocessed(err) {
			t.Errorf("Call during Close = %v, want %v, unknown fate", err, transport.ErrClosed)
		}
		_, err := echo.Call(t.Context(), c, nil)
		if !errors.Is(err, client.ErrClosed) || !errors.Is(err, transport.ErrClosed) || !kith.Unprocessed(err) || kith.CodeOf(err) != kith.Canceled {
			t.Errorf("Call after Close = %v, want %v", err, client.ErrClosed)
		}
		if _, err := chat.Call(t.Context(), c); !errors.Is(err, client.ErrClosed) {
			t.Errorf("chat.Call after Close = %v, want %v", err, client.ErrClosed)
		}
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown after Close = %v", err)
		}
	})
}

func TestCloseDuringDial(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		w.net.Partition("home", "srv")
		for _, end := range []func(*client.Client) error{
			(*client.Client).Close,
			func(c *client.Client) error { return c.Shutdown(t.Context()) },
		} {
			c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
			called := make(chan error, 1)
			go func() {
				_, err := echo.Call(t.Context(), c, nil, kith.WaitForReady())
				called <- err
			}()
			time.Sleep(time.Second)
			start := time.Now()
			if err := end(c); err != nil || time.Since(start) != 0 {
				t.Errorf("Close or Shutdown = %v after %v, want nil at once", err, time.Since(start))
			}
			if err := <-called; !errors.Is(err, client.ErrClosed) {
				t.Errorf("Call = %v, want %v", err, client.ErrClosed)
			}
		}
	})
}

func TestCloseFromHandler(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		var c *client.Client
		var h kith.Handlers
		closed := make(chan error, 1)
		note.Handle(&h, func(context.Context, []byte) error {
			closed <- c.Close()
			return nil
		})
		c = dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: &h})
		time.Sleep(time.Second)
		if err := note.Call(t.Context(), s.all()[0], nil); err != nil {
			t.Fatalf("Call = %v", err)
		}
		if err := <-closed; err != nil {
			t.Errorf("Close = %v", err)
		}
	})
}

// What was handed on arrives, and what is under way is finished.
func TestShutdown(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", func(s *testServer) {
			s.cfg.Handlers = new(kith.Handlers)
			note.Handle(s.cfg.Handlers, func(context.Context, []byte) error { s.ran.Add(1); return nil })
			hang.Handle(s.cfg.Handlers, func(context.Context, string) (string, error) {
				time.Sleep(time.Minute)
				return "done", nil
			})
		})
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		const notes = 300
		for range notes {
			if err := note.Call(t.Context(), c, make([]byte, 100)); err != nil {
				t.Fatalf("Call = %v", err)
			}
		}
		called := make(chan error, 1)
		go func() {
			_, err := hang.Call(t.Context(), c, "")
			called <- err
		}()
		time.Sleep(time.Second)
		if err := c.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
		if err := <-called; err != nil {
			t.Errorf("Call = %v", err)
		}
		if n := s.ran.Load(); n != notes {
			t.Errorf("%d notifications ran, want %d", n, notes)
		}
	})
}

// Also a notification that follows hello arrives.
func TestShutdownAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		c := newClient(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}})
		if err := note.Call(t.Context(), c, []byte("bye")); err != nil {
			t.Fatalf("Call = %v", err)
		}
		if err := c.Shutdown(t.Context()); err != nil || s.ran.Load() != 1 {
			t.Errorf("Shutdown = %v, %d notifications ran, want 1", err, s.ran.Load())
		}
	})
}

// Shutdown waits for handlers, and names those that it leaves.
func TestShutdownWaitsForHandlers(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		s := serve(t, w.host("srv"), "srv", nil)
		var h kith.Handlers
		var ended atomic.Bool
		hang.Handle(&h, func(ctx context.Context, what string) (string, error) {
			if what == "ctx" {
				<-ctx.Done()
				return "", ctx.Err()
			}
			<-kith.Draining(ctx)
			time.Sleep(time.Second)
			ended.Store(true)
			return "", nil
		})
		for _, what := range []string{"draining", "ctx"} {
			c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: &h})
			time.Sleep(time.Second)
			all := s.all()
			called := make(chan error, 1)
			go func() {
				_, err := hang.Call(t.Context(), all[len(all)-1], what)
				called <- err
			}()
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := c.Shutdown(ctx)
			callErr := <-called
			switch what {
			case "draining":
				if err != nil || callErr != nil || !ended.Load() {
					t.Errorf("Shutdown = %v, Call = %v, handler ended: %v", err, callErr, ended.Load())
				}
			case "ctx":
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "test/Hang") || callErr == nil {
					t.Errorf("Shutdown = %v, Call = %v, want the ctx's error and the method's name", err, callErr)
				}
			}
		}
	})
}
