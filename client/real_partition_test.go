package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/transport"
)

// The network is cut for a while, in the middle of a call. A cut that is
// shorter than the silence bound costs nothing but time: the call is answered
// over the same connection. After a longer one the call is lost at the bound,
// no later, and the next call works by itself when the network does again.
func TestRealPartition(t *testing.T) {
	const (
		bound = 15 * time.Second // silence with a call open
		again = 40 * time.Second // the longest pause, and one attempt to dial
	)
	for _, tc := range []struct {
		cut  time.Duration
		lost bool
	}{{time.Second, false}, {5 * time.Second, false}, {20 * time.Second, true}, {40 * time.Second, true}, {120 * time.Second, true}} {
		inWorld(t, func(t *testing.T, w world) {
			s := serve(t, w.host("srv"), "srv", nil)
			c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: new(kith.Handlers)})
			time.Sleep(time.Minute)
			w.net.Partition("home", "srv")
			start := time.Now()
			outcome := make(chan error, 1)
			go func() {
				_, err := echo.Call(t.Context(), c, nil)
				outcome <- err
			}()
			time.Sleep(tc.cut)
			w.net.Heal("home", "srv")
			healed := time.Now()
			err := <-outcome
			var ended *transport.ConnError
			switch took := time.Since(start); {
			case !tc.lost && err != nil:
				t.Errorf("Call during a cut of %v = %v, want an answer after it", tc.cut, err)
			case tc.lost && (kith.Unprocessed(err) || kith.Remote(err) || !errors.As(err, &ended) || kith.CodeOf(err) != kith.Unavailable):
				t.Errorf("Call during a cut of %v = %v, want a lost connection, and unknown fate", tc.cut, err)
			case tc.lost && took > max(tc.cut, bound+time.Second):
				t.Errorf("Call during a cut of %v was lost after %v, want %v", tc.cut, took, bound)
			}
			if _, err := echo.Call(t.Context(), c, nil, kith.WaitForReady()); err != nil {
				t.Errorf("Call after a cut of %v = %v, want nil", tc.cut, err)
			}
			t.Logf("cut of %v: lost %v, works again %v after it", tc.cut, tc.lost, time.Since(healed))
			if took := time.Since(healed); took > again {
				t.Errorf("Call after a cut of %v took %v, want at most %v", tc.cut, took, again)
			}
			want := map[bool]int64{false: 1, true: 2}[tc.lost]
			if n := s.accepted.Load(); n != want {
				t.Errorf("%d connections with a cut of %v, want %d", n, tc.cut, want)
			}
		})
	}
}

// slow is a call whose handler takes a while.
var slow = kith.Unary[time.Duration, string]("test/Slow")

// A call over a connection that was idle, and so silent, is no call over a
// dead one, however long its handler takes; and a cut before it is noticed as
// early as otherwise, by both ends.
func TestRealCallAfterIdle(t *testing.T) {
	for _, idle := range []time.Duration{time.Second, 10 * time.Second, 20 * time.Second, 29 * time.Second, 31 * time.Second, 59 * time.Second} {
		for name, edit := range map[string]func(*client.Config){
			"both ends ping":       func(*client.Config) {},
			"the client does not":  func(cfg *client.Config) { cfg.Ping, cfg.IdlePing = -1, -1 },
			"nor does it mind any": func(cfg *client.Config) { cfg.Ping, cfg.Silence, cfg.IdleSilence = -1, -1, -1 },
		} {
			inWorld(t, func(t *testing.T, w world) {
				ended := make(chan time.Time, 1)
				s := serve(t, w.host("srv"), "srv", func(s *testServer) {
					slow.Handle(s.cfg.Handlers, func(ctx context.Context, d time.Duration) (string, error) {
						select {
						case <-time.After(d):
						case <-ctx.Done():
							ended <- time.Now()
						}
						return "done", ctx.Err()
					})
				})
				cfg := client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Handlers: new(kith.Handlers)}
				edit(&cfg)
				c := dial(t, cfg)
				time.Sleep(idle)
				if got, err := slow.Call(t.Context(), c, 100*time.Second); err != nil {
					t.Errorf("%s: Call after %v = %q, %v, want an answer", name, idle, got, err)
				}
				if n := s.accepted.Load(); n != 1 {
					t.Errorf("%s: %d connections after %v, want 1", name, n, idle)
				}
				time.Sleep(idle)
				lost := make(chan error, 1)
				go func() {
					_, err := slow.Call(t.Context(), c, time.Hour)
					lost <- err
				}()
				time.Sleep(20 * time.Millisecond) // the call is there
				w.net.Partition("home", "srv")
				cut := time.Now()
				if d := (<-ended).Sub(cut); d > 16*time.Second {
					t.Errorf("%s: the handler of a call after %v was told of the cut after %v, want 15s", name, idle, d)
				}
				if cfg.Silence == 0 {
					if err := <-lost; err == nil || time.Since(cut) > 16*time.Second {
						t.Errorf("%s: Call after %v = %v, %v after the cut, want that it is lost after 15s", name, idle, err, time.Since(cut))
					}
				}
				w.net.Reset("home", "srv")
				w.net.Heal("home", "srv")
			})
		}
	}
}
