package session_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

func TestRefusedCalls(t *testing.T) {
	p := connect(t, overMemory(t), allKinds(nil), nil)
	noMethod := kith.Unary[string, string]("test/Nothing")
	noStream := kith.ServerStream[string, string]("test/NoStream")
	wrongKind := kith.Unary[string, string]("test/Count")
	drained := func(seq iter.Seq2[string, error]) (err error) {
		for _, err = range seq {
		}
		return err
	}
	for _, tc := range []struct {
		name string
		err  func() error
		code kith.Code
		text string
	}{
		{"method", func() error { _, err := noMethod.Call(t.Context(), p.dialed, ""); return err }, kith.Unimplemented, "test/Nothing"},
		{"stream method", func() error { return drained(noStream.Call(t.Context(), p.dialed, "")) }, kith.Unimplemented, "test/NoStream"},
		{"kind", func() error { _, err := wrongKind.Call(t.Context(), p.dialed, ""); return err }, kith.Unimplemented, "server stream"},
		{"codec", func() error {
			_, err := greet.Call(t.Context(), p.dialed, "", kith.WithCodec(oddCodec{kith.JSON}))
			return err
		}, kith.Unimplemented, `"odd"`},
	} {
		err := tc.err()
		if kith.CodeOf(err) != tc.code || !strings.Contains(fmt.Sprint(err), tc.text) || !kith.Unprocessed(err) || !kith.Remote(err) {
			t.Errorf("%s: %v, want unprocessed %v naming %q", tc.name, err, tc.code, tc.text)
		}
	}
	number := kith.Unary[int, string]("test/Greet")
	if _, err := number.Call(t.Context(), p.dialed, 1); kith.CodeOf(err) != kith.InvalidArgument || !strings.Contains(err.Error(), "cannot unmarshal") {
		t.Errorf("call with a wrong type = %v, want InvalidArgument with the decoding error", err)
	}
	if got, err := greet.Call(t.Context(), p.dialed, "Ada"); got != "hello Ada" || err != nil {
		t.Errorf("call after refusals = %q, %v", got, err)
	}
}

type oddCodec struct{ kith.Codec }

func (oddCodec) Name() string { return "odd" }

func TestMessageLimits(t *testing.T) {
	for _, limit := range []int{100, 100 << 10} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			big := kith.ServerStream[int, []byte]("test/Big")
			bigOne := kith.Unary[int, []byte]("test/BigOne")
			var h kith.Handlers
			big.Handle(&h, func(_ context.Context, n int) iter.Seq2[[]byte, error] {
				return func(yield func([]byte, error) bool) { yield(make([]byte, n), nil) }
			})
			bigOne.Handle(&h, func(_ context.Context, n int) ([]byte, error) { return make([]byte, n), nil })
			take := kith.Unary[[]byte, int]("test/Take", kith.MaxMessage(-1)) // judged by the other side
			takeIn := kith.Unary[[]byte, int]("test/Take")
			takeIn.Handle(&h, func(_ context.Context, p []byte) (int, error) { return len(p), nil })
			p := connect(t, overMemory(t), &h, func(c *session.Config) { c.MaxMessage = limit })

			want := func(what string, err error) {
				t.Helper()
				for _, text := range []string{fmt.Sprint(limit), fmt.Sprint(limit + 1), "MaxMessage"} {
					if kith.CodeOf(err) != kith.ResourceExhausted || !strings.Contains(err.Error(), text) {
						t.Errorf("%s = %v, want ResourceExhausted naming %s", what, err, text)
					}
				}
			}
			_, err := takeIn.Call(t.Context(), p.dialed, make([]byte, limit+1))
			want("request over this side's limit", err)
			_, err = take.Call(t.Context(), p.dialed, make([]byte, limit+1))
			want("request over the other side's limit", err)
			_, err = bigOne.Call(t.Context(), p.dialed, limit+1)
			want("answer over the limit", err)
			for _, err := range big.Call(t.Context(), p.dialed, limit+1) {
				want("stream message over the limit", err)
			}
			if got, err := bigOne.Call(t.Context(), p.dialed, limit); len(got) != limit || err != nil {
				t.Errorf("answer at the limit = %d bytes, %v", len(got), err)
			}
		})
	}
}

func TestOverload(t *testing.T) {
	const slots, callers = 10, 2000
	release := make(chan struct{})
	var running, most atomic.Int64
	var h kith.Handlers
	hang.Handle(&h, func(context.Context, string) (string, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		<-release
		return "ok", nil
	})
	w := session.NewWorkers(slots)
	p := connect(t, overMemory(t), &h, func(c *session.Config) { c.Workers = w })
	defer w.Close()
	var ok, refused atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			_, err := hang.Call(t.Context(), p.dialed, "")
			switch {
			case err == nil:
				ok.Add(1)
			case kith.Unprocessed(err) && kith.CodeOf(err) == kith.ResourceExhausted:
				if refused.Add(1) == callers-slots {
					close(release)
				}
			default:
				t.Errorf("Call = %v, want a refusal", err)
			}
		})
	}
	wg.Wait()
	if ok.Load() != slots || most.Load() != slots {
		t.Errorf("%d calls went through and %d ran at once, want %d", ok.Load(), most.Load(), slots)
	}
}

// A caller over the other side's limit of open lane calls waits, and no
// longer than its ctx.
func TestLaneCallCredit(t *testing.T) {
	ended := make(chan error, 16)
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		p := connect(t, tr, hanging(ended), func(c *session.Config) { c.MaxLaneCalls = 2 })
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go func() { _, _ = hang.Call(ctx, p.dialed, "") }()
		}
		time.Sleep(time.Second)
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		if _, err := hang.Call(short, p.dialed, ""); !errors.Is(err, context.DeadlineExceeded) || !kith.Unprocessed(err) {
			t.Errorf("call over the limit = %v, want it unprocessed at its deadline", err)
		}
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		last, cancelLast := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancelLast()
		if _, err := hang.Call(last, p.dialed, ""); !errors.Is(err, context.DeadlineExceeded) || kith.Unprocessed(err) {
			t.Errorf("call after others ended = %v, want its handler to have run until the deadline", err)
		}
	})
}

func TestRefusedHello(t *testing.T) {
	stranger := kith.NewKey().ID()
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		l, err := tr.Listen(t.Context(), transport.Addr{Host: "strict"})
		if err != nil {
			t.Fatal(err)
		}
		w := session.NewWorkers(-1)
		defer w.Close()
		ran := false
		var h kith.Handlers
		hang.Handle(&h, func(context.Context, string) (string, error) { ran = true; return "", nil })
		cfg := session.Config{Handlers: &h, Workers: w, Admit: admit.Pins(stranger)}.Defaults()
		accepted := make(chan error, 1)
		go func() {
			conn, err := l.Accept(t.Context())
			if err == nil {
				_, err = session.Accept(t.Context(), conn, &cfg)
			}
			accepted <- err
		}()
		conn, err := tr.Dial(t.Context(), l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		dcfg := session.Config{}.Defaults()
		s, err := session.Start(t.Context(), conn, &dcfg)
		if err != nil {
			t.Fatal(err)
		}
		// The call goes out behind hello, and must be known not to have run.
		_, err = hang.Call(t.Context(), s, "")
		if kith.CodeOf(err) != kith.PermissionDenied || !kith.Unprocessed(err) || !kith.Remote(err) {
			t.Errorf("early call = %v, want a remote, unprocessed PermissionDenied", err)
		}
		if err := s.Ready(t.Context()); kith.CodeOf(err) != kith.PermissionDenied {
			t.Errorf("Ready = %v, want PermissionDenied", err)
		}
		if err := <-accepted; kith.CodeOf(err) != kith.PermissionDenied {
			t.Errorf("Accept = %v, want PermissionDenied", err)
		}
		if ran {
			t.Error("the handler ran")
		}
	})
}

func TestSilentHello(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		conn, in := conns(t, tr)
		defer func() { _ = conn.CloseWithError(kith.OK, "") }()
		cfg := session.Config{Admit: admit.Anyone()}.Defaults()
		start := time.Now()
		if _, err := session.Accept(t.Context(), in, &cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Accept = %v, want %v", err, context.DeadlineExceeded)
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Accept took %v, want 5s", took)
		}
		<-conn.Context().Done()
	})
}

func TestMetadataAndTrailer(t *testing.T) {
	var h kith.Handlers
	greet.Handle(&h, func(ctx context.Context, s string) (string, error) {
		md := kith.MetadataFrom(ctx)
		if err := kith.SetTrailer(ctx, kith.Metadata{"echo": md["k"] + "!"}); err != nil {
			return "", err
		}
		if s == "fail" {
			return "", errNobody
		}
		return s, nil
	})
	p := connect(t, overMemory(t), &h, nil)
	for _, size := range []int{1, 1000, 15 << 10} {
		for _, arg := range []string{"ok", "fail"} {
			var trailer kith.Metadata
			v := strings.Repeat("v", size)
			_, err := greet.Call(t.Context(), p.dialed, arg, kith.WithMetadata(kith.Metadata{"k": v}), kith.Trailer(&trailer))
			if arg == "ok" && err != nil || arg == "fail" && !errors.Is(err, errNobody) || trailer["echo"] != v+"!" {
				t.Errorf("Call(%q) with %d bytes of metadata = %v, trailer of %d bytes", arg, size, err, len(trailer["echo"]))
			}
		}
	}
	_, err := greet.Call(t.Context(), p.dialed, "", kith.WithMetadata(kith.Metadata{"K": ""}))
	if kith.CodeOf(err) != kith.InvalidArgument || kith.Remote(err) {
		t.Errorf("Call with a bad key = %v, want local InvalidArgument", err)
	}
}

// An answer, or an error, and a trailer that both fit the lane, and do not
// together, arrive all the same.
func TestLargeTrailer(t *testing.T) {
	overTransports(t, func(t *testing.T, tr transport.Transport) {
		const size = 10 << 10
		var h kith.Handlers
		greet.Handle(&h, func(ctx context.Context, s string) (string, error) {
			if err := kith.SetTrailer(ctx, kith.Metadata{"k": strings.Repeat("v", size)}); err != nil {
				return "", err
			}
			if s == "fail" {
				return "", errNobody.WithMessage("%s", strings.Repeat("m", size))
			}
			return strings.Repeat("a", size), nil
		})
		p := connect(t, tr, &h, nil)
		for _, arg := range []string{"ok", "fail"} {
			var trailer kith.Metadata
			got, err := greet.Call(t.Context(), p.dialed, arg, kith.Trailer(&trailer))
			if arg == "ok" && (err != nil || len(got) != size) || arg == "fail" && !errors.Is(err, errNobody) || len(trailer["k"]) != size {
				t.Errorf("Call(%q) = %d bytes, %.100v, trailer of %d bytes", arg, len(got), err, len(trailer["k"]))
			}
		}
		if open := len(p.accepted.Serving()); open != 0 {
			t.Errorf("%d calls are served after their outcomes", open)
		}
	})
}

// The largest message that fits the lane, and the ones around it, whatever
// else is in the frame.
func TestAroundLaneLimit(t *testing.T) {
	p := connect(t, overMemory(t), echoHandlers(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for size := 16<<10 - 200; size <= 16<<10+20; size++ {
		md := kith.Metadata{"k": strings.Repeat("v", size%7)}
		if got, err := echo.Call(ctx, p.dialed, make([]byte, size), kith.WithMetadata(md)); len(got) != size || err != nil {
			t.Fatalf("Call of %d bytes = %d bytes, %v", size, len(got), err)
		}
	}
}

// A stream message cut short by the deadline is not taken for a whole one, and
// what a handler reads behind a message over the limit is that error again.
func TestBrokenStreams(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *memory.Network, tr transport.Transport) {
		var h kith.Handlers
		again := make(chan error, 1)
		pour := kith.ServerStream[string, []byte]("test/Pour")
		pour.Handle(&h, func(context.Context, string) iter.Seq2[[]byte, error] {
			return func(yield func([]byte, error) bool) {
				for yield(make([]byte, 1<<20), nil) {
				}
			}
		})
		drink := kith.ClientStream[[]byte, int]("test/Drink", kith.MaxMessage(1<<20))
		drinkAny := kith.ClientStream[[]byte, int]("test/Drink", kith.MaxMessage(-1))
		drink.Handle(&h, func(_ context.Context, in iter.Seq2[[]byte, error]) (int, error) {
			for _, err := range in {
				again <- err
				return 0, err
			}
			return 0, nil
		})
		p := connect(t, tr, &h, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range pour.Call(ctx, p.dialed, "") {
			<-ctx.Done() // reads nothing more until the deadline
		}
		if d, err := drinkAny.Call(t.Context(), p.dialed); err != nil {
			t.Errorf("Call = %v", err)
		} else {
			_ = d.Send(make([]byte, 1<<20+1))
			if _, err := d.CloseAndRecv(); kith.CodeOf(err) != kith.ResourceExhausted {
				t.Errorf("CloseAndRecv = %v, want ResourceExhausted", err)
			}
			_ = d.Close()
		}
		<-again
	})
}

// What one call answered is in no other call's outcome.
func TestNothingOfOtherCalls(t *testing.T) {
	secret := strings.Repeat("secret", 100)
	var h kith.Handlers
	greet.Handle(&h, func(context.Context, string) (string, error) { return secret, nil })
	note := kith.Notify[string]("test/Note")
	noted := make(chan struct{}, 1)
	note.Handle(&h, func(context.Context, string) error { noted <- struct{}{}; return nil })
	_, p := rawPair(t, false, &h)
	for range 10 {
		p.write(callFrameWith(1, &greet.Method, `"x"`))
		if typ, body := p.next(); typ != wire.FrameAnswer || !strings.Contains(string(body), secret) {
			t.Fatalf("answer = %d, %q", typ, body)
		}
		p.write(callFrameWith(1, &note.Method, `"x"`))
		<-noted
		if typ, body := p.next(); typ != wire.FrameAnswer || len(body) != 2 {
			t.Fatalf("outcome of a notification = %d, %q, want an empty answer", typ, body)
		}
	}
}

// A session that takes all the places it can get leaves the last eighth to others.
func TestLastPlacesAreForOthers(t *testing.T) {
	const places = 16
	started, release := make(chan struct{}, places), make(chan struct{})
	var h kith.Handlers
	hang.Handle(&h, func(context.Context, string) (string, error) {
		started <- struct{}{}
		<-release
		return "ok", nil
	})
	w := session.NewSharedWorkers(places)
	defer w.Close()
	mine := func(c *session.Config) { c.Workers = w }
	greedy, modest := connect(t, overMemory(t), &h, mine), connect(t, overMemory(t), &h, mine)
	var wg sync.WaitGroup
	take := func(s *session.Session, n int) {
		for range n {
			wg.Go(func() {
				if _, err := hang.Call(t.Context(), s, ""); err != nil {
					t.Errorf("Call = %v", err)
				}
			})
			<-started
		}
	}
	refused := func(s *session.Session, who string) {
		t.Helper()
		if _, err := hang.Call(t.Context(), s, ""); kith.CodeOf(err) != kith.ResourceExhausted || !kith.Unprocessed(err) {
			t.Errorf("Call of the %s one = %v, want a refusal", who, err)
		}
	}
	take(greedy.dialed, places-places/8)
	refused(greedy.dialed, "greedy")
	take(modest.dialed, places/8)
	refused(modest.dialed, "modest")
	close(release)
	wg.Wait()
}

// What each idle connection has of these fits a size class of Go's allocator (W7 in
// docs/benchmarks.md): one byte more would be 128.
func TestIdleSize(t *testing.T) {
	for _, size := range []struct {
		of   reflect.Type
		most uintptr
	}{
		{reflect.TypeFor[mux.Conn](), 1280},
		{reflect.TypeFor[session.Session](), 1408},
	} {
		if n := size.of.Size(); n > size.most {
			t.Errorf("a %v takes %d bytes, want at most %d", size.of, n, size.most)
		}
	}
}
