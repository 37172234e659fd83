package server_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// panicking returns handlers of all shapes a call can take on the wire, which
// panic if asked for "boom".
func panicking() (h *kith.Handlers, calls map[string]func(context.Context, kith.Caller, string) (string, error)) {
	lane := kith.Unary[string, string]("panic/Lane")
	alone := kith.Unary[string, string]("panic/Alone", kith.Isolated())
	many := kith.ServerStream[string, string]("panic/Many")
	talk := kith.Bidi[string, string]("panic/Talk")
	say := func(s string) string {
		if s == "boom" {
			panic("secret of " + s)
		}
		return s + "!"
	}
	unary := func(_ context.Context, s string) (string, error) { return say(s), nil }
	h = new(kith.Handlers)
	lane.Handle(h, unary)
	alone.Handle(h, unary)
	many.Handle(h, func(_ context.Context, s string) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) { yield(say(s), nil) }
	})
	talk.Handle(h, func(_ context.Context, d *kith.Duplex[string, string]) error {
		s, err := d.Recv()
		if err != nil {
			return err
		}
		return d.Send(say(s))
	})
	return h, map[string]func(context.Context, kith.Caller, string) (string, error){
		"lane":  func(ctx context.Context, c kith.Caller, s string) (string, error) { return lane.Call(ctx, c, s) },
		"alone": func(ctx context.Context, c kith.Caller, s string) (string, error) { return alone.Call(ctx, c, s) },
		"many": func(ctx context.Context, c kith.Caller, s string) (got string, err error) {
			for got, err = range many.Call(ctx, c, s) {
				if err != nil {
					return "", err
				}
			}
			return got, nil
		},
		"talk": func(ctx context.Context, c kith.Caller, s string) (string, error) {
			d, err := talk.Call(ctx, c)
			if err != nil {
				return "", err
			}
			defer d.Close()
			if err := d.Send(s); err != nil {
				return "", err
			}
			return d.Recv()
		},
	}
}

// Each of a thousand panics among ten thousand calls costs its own call only,
// and tells its caller nothing but where to look.
func TestPanicsAmongCalls(t *testing.T) {
	const clients, workers = 4, 25
	rounds := 100
	if raceEnabled {
		rounds = 10 // the race detector makes it ten times as slow
	}
	told := regexp.MustCompile(`^Internal: internal error \(call ([0-9a-f]{8}-[0-9a-f]+)\)$`)
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		h, calls := panicking()
		r := start(t, tr, h, nil)
		var ids sync.Map
		var panics atomic.Int64
		one := func(name string, c kith.Caller, s string) {
			got, err := calls[name](t.Context(), c, s)
			if s != "boom" {
				if got != s+"!" || err != nil {
					t.Errorf("%s: Call(%q) = %q, %v among panics", name, s, got, err)
				}
				return
			}
			panics.Add(1)
			m := told.FindStringSubmatch(fmt.Sprint(err))
			if m == nil || !kith.Remote(err) || kith.Unprocessed(err) {
				t.Errorf("%s: Call(%q) = %q, %v, want %v and nothing more", name, s, got, err, kith.Internal)
				return
			}
			ids.Store(m[1], true)
		}
		shapes := []string{"lane", "alone", "many", "talk"}
		var all sync.WaitGroup
		for range clients {
			c := r.dial(t)
			for w := range workers {
				all.Go(func() {
					for i := range rounds {
						s := "boom"
						if i%10 != w%10 {
							s = fmt.Sprint(w, ".", i)
						}
						one(shapes[(w+i/10)%len(shapes)], c, s)
					}
				})
			}
		}
		all.Wait()
		// How many are logged hangs on how long all takes: the first of each second.
		logged := r.log.lines("panic: secret of boom")
		if n := int(panics.Load()); n != clients*workers*rounds/10 || len(logged) < min(n, 100) || len(logged) > n {
			t.Errorf("%d panics, %d logged, want %d, and at least 100 logged", n, len(logged), clients*workers*rounds/10)
		}
		stacks := 0
		for _, line := range logged {
			_, id, _ := strings.Cut(line, "call=")
			id, _, _ = strings.Cut(id, " ")
			if _, ok := ids.Load(id); !ok {
				t.Fatalf("logged %.200q, want an id that a caller has", line)
			}
			if strings.Contains(line, "goroutine ") {
				stacks++
			}
		}
		if stacks < 10 {
			t.Errorf("%d panics logged with their stacks, want at least 10", stacks)
		}
		if st := r.Stats(); st.Conns != clients {
			t.Errorf("Stats() = %+v, want the %d connections", st, clients)
		}
	})
}

// Ten handlers that never return hold their places, keep nobody else from being
// served, and do not keep Shutdown past its ctx, which says what they are.
func TestStuckHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork(memory.NetworkConfig{})
		defer n.Close()
		started, release := make(chan string, 10), make(chan struct{})
		h := hanging(started, release)
		gulp.Handle(h, func(context.Context, iter.Seq2[string, error]) (int, error) {
			started <- ""
			<-release
			return 0, nil
		})
		r := start(t, n.Transport(memory.Config{Host: "s"}), h, func(c *server.Config) { c.MaxCalls = 12 })
		one, two := n.Transport(memory.Config{}), n.Transport(memory.Config{})
		first, err := r.tryDial(t, one)
		if err != nil {
			t.Fatalf("dial = %v", err)
		}
		second, err := r.tryDial(t, two)
		if err != nil {
			t.Fatalf("dial = %v", err)
		}
		ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
		defer giveUp()
		for range 4 {
			go func() { _, _ = hang.Call(ctx, first, "for good") }()
			go func() { _, _ = hang.Call(t.Context(), second, "for good") }()
			<-started
			<-started
		}
		time.Sleep(time.Minute) // the first client has long given up
		for range 2 {
			d, err := gulp.Call(t.Context(), first)
			if err != nil {
				t.Fatalf("Call = %v", err)
			}
			defer d.Close()
			<-started
		}
		// There is one place left, and one that is not for those who hold so many.
		if _, err := echo.Call(t.Context(), first, nil); err != nil {
			t.Errorf("Call beside stuck handlers = %v", err)
		}
		go func() { _, _ = hang.Call(t.Context(), second, "until its ctx ends") }()
		<-started
		if _, err := echo.Call(t.Context(), first, nil); kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) {
			t.Errorf("Call beside as many as may be = %v, want an unprocessed %v", err, kith.ResourceExhausted)
		}
		if st := r.Stats(); st.Calls != 11 {
			t.Errorf("Stats() = %+v, want 11 calls", st)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		err = r.Shutdown(ctx)
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("Shutdown took %v, want 10s", took)
		}
		callers := []string{one.ID().Short(), two.ID().Short()}
		for _, text := range []string{
			"test/Gulp (2 for up to 10s, called by " + callers[0] + ")",
			"test/Hang (9 for up to 1m10s, called by ", callers[0], callers[1],
		} {
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), text) {
				t.Errorf("Shutdown() = %v, want %v and %q", err, context.DeadlineExceeded, text)
			}
		}
		synctest.Wait() // the eleventh handler ends with its connection
		if st := r.Stats(); st.Conns != 0 || st.Calls != 10 {
			t.Errorf("Stats() = %+v, want the ten stuck calls and no connection", st)
		}
		close(release)
	})
}

// Of calls that are too many each is either executed and answered, or refused
// as not executed; and their number leaves nothing behind.
func TestOverload(t *testing.T) {
	const places, clients, workers = 100, 10, 100
	rounds := 100
	if raceEnabled {
		rounds = 10 // as above
	}
	synctest.Test(t, func(t *testing.T) {
		var running, most, executed, answered, refused atomic.Int64
		h := new(kith.Handlers)
		echo.Handle(h, func(_ context.Context, p []byte) ([]byte, error) {
			executed.Add(1)
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Millisecond)
			return p, nil
		})
		r := start(t, overMemory(t), h, func(c *server.Config) { c.MaxCalls = places })
		var all sync.WaitGroup
		var early uint64 // bytes on the heap when a tenth is done
		for i := range clients {
			c := r.dial(t)
			for w := range workers {
				all.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(i), uint64(w)))
					for n := range rounds {
						time.Sleep(time.Duration(rnd.Int64N(int64(4 * time.Millisecond))))
						_, err := echo.Call(t.Context(), c, make([]byte, rnd.IntN(1000)))
						switch {
						case err == nil:
							answered.Add(1)
						case kith.CodeOf(err) == kith.ResourceExhausted && kith.Unprocessed(err) && kith.Remote(err):
							refused.Add(1)
						default:
							t.Errorf("Call = %v, want an answer or an unprocessed %v", err, kith.ResourceExhausted)
						}
						if i == 0 && w == 0 && n == rounds/10 {
							early = heap()
						}
					}
				})
			}
		}
		all.Wait()
		late := heap()
		if executed.Load() != answered.Load() || answered.Load()+refused.Load() != int64(clients*workers*rounds) {
			t.Errorf("%d calls executed, %d answered, %d refused, of %d", executed.Load(), answered.Load(), refused.Load(), clients*workers*rounds)
		}
		if most.Load() != places || refused.Load() < int64(rounds) || answered.Load() < int64(rounds) {
			t.Errorf("%d ran at once, %d were answered, %d refused, want %d, and both to happen", most.Load(), answered.Load(), refused.Load(), places)
		}
		if late > early+4<<20 {
			t.Errorf("%d KiB on the heap after a tenth of the calls, %d KiB after all", early>>10, late>>10)
		}
		t.Logf("%d answered, %d refused, heap %d KiB after a tenth, %d KiB after all", answered.Load(), refused.Load(), early>>10, late>>10)
		synctest.Wait()
		if st := r.Stats(); st.Calls != 0 {
			t.Errorf("Stats() = %+v, want no calls", st)
		}
	})
}

// heap returns the bytes on the heap that are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// verbatim is JSON of which the caller writes each byte.
type verbatim struct{ kith.Codec }

func (verbatim) Append(dst []byte, v any) ([]byte, error) { return append(dst, *v.(*string)...), nil }

// A message nested too deep is refused before it is decoded, and the caller is
// told so; the next one is served.
func TestDeepMessages(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		take := kith.Unary[any, string]("test/Take")
		takeAll := kith.ClientStream[any, int]("test/TakeAll")
		h := new(kith.Handlers)
		take.Handle(h, func(context.Context, any) (string, error) { return "taken", nil })
		takeAll.Handle(h, func(_ context.Context, in iter.Seq2[any, error]) (n int, err error) {
			for _, err = range in {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		})
		c := start(t, tr, h, nil).dial(t)
		text := kith.Unary[string, string](take.Name())
		texts := kith.ClientStream[string, int](takeAll.Name())
		stream := func(s string) error {
			d, err := texts.Call(t.Context(), c, kith.WithCodec(verbatim{kith.JSON}))
			if err != nil {
				return err
			}
			defer d.Close()
			_ = d.Send("[]")
			_ = d.Send(s)
			_, err = d.CloseAndRecv()
			return err
		}
		for _, depth := range []int{64, 65, 5000, 1 << 20} {
			s := strings.Repeat("[", depth) + strings.Repeat("]", depth)
			_, err := text.Call(t.Context(), c, s, kith.WithCodec(verbatim{kith.JSON}))
			for what, err := range map[string]error{"unary": err, "stream": stream(s)} {
				switch {
				case depth <= kith.MaxDepth:
					if err != nil {
						t.Errorf("%s: Call with %d levels = %v", what, depth, err)
					}
				case kith.CodeOf(err) != kith.InvalidArgument || !kith.Remote(err) || !strings.Contains(err.Error(), "nested deeper than 64"):
					t.Errorf("%s: Call with %d levels = %v, want %v that names the limit", what, depth, err, kith.InvalidArgument)
				}
			}
		}
	})
}

// A stream that its client gave up is no failure of the server's.
func TestLogOfCancelledStream(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		var log logBuffer
		logged := make(chan struct{}, 1)
		begun := make(chan struct{}, 1)
		h := new(kith.Handlers)
		h.Use(func(next kith.Handler) kith.Handler {
			return func(ctx context.Context, c kith.Call) error {
				defer func() { logged <- struct{}{} }()
				return next(ctx, c)
			}
		}, server.Log(slog.New(slog.NewTextHandler(&log, nil))))
		count.Handle(h, func(ctx context.Context, n int) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				begun <- struct{}{}
				for yield(make([]byte, n), nil) {
				}
			}
		})
		gulp.Handle(h, func(ctx context.Context, in iter.Seq2[string, error]) (int, error) {
			begun <- struct{}{}
			return drink(ctx, in)
		})
		hang.Handle(h, func(ctx context.Context, _ string) (string, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return "", ctx.Err()
		})
		r := start(t, tr, h, nil)
		c := r.dial(t)
		for name, call := range map[string]func(context.Context, *session.Session) error{
			"unary": func(ctx context.Context, c *session.Session) error { _, err := hang.Call(ctx, c, ""); return err },
			"answers": func(ctx context.Context, c *session.Session) (err error) {
				for _, err = range count.Call(ctx, c, 64<<10) {
				}
				return err
			},
			"requests": func(ctx context.Context, c *session.Session) error {
				d, err := gulp.Call(ctx, c)
				if err != nil {
					return err
				}
				defer d.Close()
				_, err = d.Recv()
				return err
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-begun
				cancel()
			}()
			if err := call(ctx, c); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: Call = %v, want %v", name, err, context.Canceled)
			}
			<-logged
			cancel()
		}
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, "level=INFO") || !strings.Contains(line, "code=Canceled") {
				t.Errorf("logged %q of a call that its client gave up", line)
			}
		}
		if n := strings.Count(log.String(), "\n"); n != 3 || len(r.log.lines("handler failed")) != 0 {
			t.Errorf("%d calls logged, want 3, and no failed handler: %s", n, r.log)
		}
	})
}
