package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
)

// A journal is what middleware saw.
type journal struct {
	mu    sync.Mutex
	lines []string
	ended chan struct{} // gets one for each call that ended; cap 100
}

func newJournal() *journal { return &journal{ended: make(chan struct{}, 100)} }

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func() { j.lines = nil }()
	return j.lines
}

// middleware notes the calls and their codes.
func (j *journal) middleware(name string) kith.Middleware {
	return func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, c kith.Call) error {
			j.note("%s begin %s", name, c.Method.Name())
			err := next(ctx, c)
			j.note("%s end %v", name, kith.CodeOf(err))
			if name == "outer" {
				j.ended <- struct{}{}
			}
			return err
		}
	}
}

// messages notes what passes.
func (j *journal) messages(next kith.Handler) kith.Handler {
	return func(ctx context.Context, c kith.Call) error {
		c.Messages = noting{c.Messages, j}
		return next(ctx, c)
	}
}

type noting struct {
	kith.Messages
	j *journal
}

func (n noting) Send(p []byte) error {
	n.j.note("send %s", p)
	return n.Messages.Send(p)
}

func (n noting) Recv() ([]byte, error) {
	p, err := n.Messages.Recv()
	if err != nil {
		n.j.note("recv %v", err)
	} else {
		n.j.note("recv %s", p)
	}
	return p, err
}

func TestMiddlewareOrder(t *testing.T) {
	j := newJournal()
	_, c := pair(t, client.Config{Middleware: []kith.Middleware{j.middleware("outer"), j.middleware("inner"), j.messages}}, nil)
	for _, tc := range []struct {
		name string
		call func() error
		want []string
		err  error
	}{
		{"unary", func() error { callWhere(t, c, "srv"); return nil }, []string{
			"outer begin test/Where", "inner begin test/Where", `send ""`, `recv "srv"`, "inner end OK", "outer end OK",
		}, nil},
		{"unary error", func() error { _, err := where.Call(t.Context(), c, "?"); return err }, []string{
			"outer begin test/Where", "inner begin test/Where", `send "?"`, "recv " + errUnknown.Error(), "inner end NotFound", "outer end NotFound",
		}, errUnknown},
		{"notification", func() error { return note.Call(t.Context(), c, []byte("x")) }, []string{
			"outer begin test/Note", "inner begin test/Note", "send x", "recv EOF", "inner end OK", "outer end OK",
		}, nil},
		{"server stream", func() error { return drain(count.Call(t.Context(), c, 2)) }, []string{
			"outer begin test/Count", "inner begin test/Count", "send 2", "recv 0", "recv 1", "recv EOF", "inner end OK", "outer end OK",
		}, nil},
		{"server stream error", func() error { return drain(count.Call(t.Context(), c, -1)) }, []string{
			"outer begin test/Count", "inner begin test/Count", "send -1", "recv " + errUnknown.Error(), "inner end NotFound", "outer end NotFound",
		}, errUnknown},
		{"client stream", func() error { return callSum(t, c, 3, 4) }, []string{
			"outer begin test/Sum", "inner begin test/Sum", "send 3", "send 4", "recv 7", "inner end OK", "outer end OK",
		}, nil},
		{"bidi, closed early", func() error { return chatOnce(t, c) }, []string{
			"outer begin test/Chat", "inner begin test/Chat", `send "a"`, `recv "aa"`, "inner end Canceled", "outer end Canceled",
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.call(); !errors.Is(err, tc.err) {
				t.Errorf("Call = %v, want %v", err, tc.err)
			}
			<-j.ended
			got := j.take()
			// A stream's end is seen by its reader and by middleware at once.
			if i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "recv") || strings.Contains(s, " end ") }); i > 0 {
				slices.SortStableFunc(got[i:], func(a, b string) int {
					return boolInt(strings.Contains(a, " end ")) - boolInt(strings.Contains(b, " end "))
				})
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("middleware saw\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(tc.want, "\n\t"))
			}
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func drain(seq func(func(int, error) bool)) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

func callSum(t *testing.T, c kith.Caller, numbers ...int) error {
	d, err := sum.Call(t.Context(), c)
	if err != nil {
		return err
	}
	defer d.Close()
	want := 0
	for _, n := range numbers {
		want += n
		if err := d.Send(n); err != nil {
			return err
		}
	}
	got, err := d.CloseAndRecv()
	if got != want && err == nil {
		t.Errorf("sum = %d, want %d", got, want)
	}
	return err
}

func chatOnce(t *testing.T, c kith.Caller) error {
	d, err := chat.Call(t.Context(), c)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Send("a"); err != nil {
		return err
	}
	if got, err := d.Recv(); got != "aa" || err != nil {
		t.Errorf("Recv() = %q, %v, want %q", got, err, "aa")
	}
	return nil
}

// upper is middleware that changes what goes out and what comes in.
type upper struct{ kith.Messages }

func (u upper) Send(p []byte) error {
	tmp := []byte(strings.ToUpper(string(p)))
	err := u.Messages.Send(tmp)
	clear(tmp) // not kept
	return err
}

func (u upper) Recv() ([]byte, error) {
	p, err := u.Messages.Recv()
	if err == nil {
		p = append(p, '!')
	}
	return p, err
}

func TestMiddlewareChangesCalls(t *testing.T) {
	var got kith.Metadata
	s, c := pair(t, client.Config{Middleware: []kith.Middleware{func(next kith.Handler) kith.Handler {
		return func(ctx context.Context, call kith.Call) error {
			call.Messages = upper{call.Messages}
			call.Metadata = kith.Metadata{"trace": "7"}
			return next(ctx, call)
		}
	}}}, func(s *testServer) {
		s.cfg.Handlers.Use(func(next kith.Handler) kith.Handler {
			return func(ctx context.Context, call kith.Call) error {
				got = call.Metadata
				return next(ctx, call)
			}
		})
	})
	p := []byte("abc")
	answer, err := echo.Call(t.Context(), c, p)
	if string(answer) != "ABC!" || err != nil || string(p) != "abc" {
		t.Errorf("Call = %q, %v, request %q after, want %q", answer, err, p, "ABC!")
	}
	if got["trace"] != "7" || s.ran.Load() != 1 {
		t.Errorf("the handler got metadata %v, want trace 7", got)
	}
}

// Middleware can refuse, answer by itself, call again, bound the time.
func TestMiddlewareDecides(t *testing.T) {
	refusal := kith.NewError(kith.FailedPrecondition, "not_now", "not now")
	type handler = func(next kith.Handler, ctx context.Context, c kith.Call) error
	for _, tc := range []struct {
		name  string
		h     handler
		unary func(answer string, err error) bool
		open  func(err error) bool
		ran   int64
	}{
		{
			"refuses", func(kith.Handler, context.Context, kith.Call) error { return refusal },
			func(_ string, err error) bool { return errors.Is(err, refusal) && !kith.Remote(err) },
			func(err error) bool { return errors.Is(err, refusal) }, 0,
		},
		{
			"does nothing", func(kith.Handler, context.Context, kith.Call) error { return nil },
			func(_ string, err error) bool { return kith.CodeOf(err) == kith.Internal },
			func(err error) bool { return kith.CodeOf(err) == kith.Internal }, 0,
		},
		{
			"panics", func(_ kith.Handler, _ context.Context, c kith.Call) error {
				if c.Method.Kind() == kith.KindUnary {
					return refusal
				}
				panic("oops")
			},
			func(_ string, err error) bool { return errors.Is(err, refusal) },
			func(err error) bool { return kith.CodeOf(err) == kith.Internal }, 0,
		},
		{
			"loses the ctx", func(next kith.Handler, _ context.Context, c kith.Call) error { return next(context.Background(), c) },
			func(_ string, err error) bool { return err != nil && strings.Contains(err.Error(), "ctx") },
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "ctx") }, 0,
		},
		{
			"answers by itself", func(next kith.Handler, ctx context.Context, c kith.Call) error {
				if c.Method.Kind() == kith.KindUnary {
					c.Messages = cached("from cache")
				}
				return next(ctx, c)
			},
			func(answer string, err error) bool { return answer == "from cache" && err == nil },
			func(err error) bool { return err == nil }, 1,
		},
		{
			"calls twice", func(next kith.Handler, ctx context.Context, c kith.Call) error {
				if err := next(ctx, c); err != nil {
					return err
				}
				return next(ctx, c)
			},
			func(answer string, err error) bool { return answer == "hi" && err == nil },
			func(err error) bool { return err == nil }, 3,
		},
		{
			"ends the ctx", func(next kith.Handler, ctx context.Context, c kith.Call) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return next(ctx, c)
			},
			func(_ string, err error) bool { return errors.Is(err, context.Canceled) },
			func(err error) bool { return errors.Is(err, context.Canceled) }, 0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := pair(t, client.Config{Middleware: []kith.Middleware{func(next kith.Handler) kith.Handler {
				return func(ctx context.Context, c kith.Call) error { return tc.h(next, ctx, c) }
			}}}, nil)
			if answer, err := echo.Call(t.Context(), c, []byte("hi")); !tc.unary(string(answer), err) {
				t.Errorf("unary: %q, %v", answer, err)
			}
			d, err := chat.Call(t.Context(), c)
			if !tc.open(err) {
				t.Errorf("stream: %v", err)
			}
			if err == nil {
				if err := d.CloseSend(); err != nil {
					t.Errorf("CloseSend = %v", err)
				}
				if _, err := d.Recv(); err != io.EOF {
					t.Errorf("Recv = %v, want %v", err, io.EOF)
				}
				d.Close()
			}
			if n := s.ran.Load(); n != tc.ran {
				t.Errorf("%d calls ran, want %d", n, tc.ran)
			}
		})
	}
}

type cached string

func (cached) Send([]byte) error       { return nil }
func (c cached) Recv() ([]byte, error) { return []byte(c), nil }
func (cached) CloseSend() error        { return nil }

// What ends a stream ends next, whoever does it.
func TestMiddlewareSeesStreamsEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(cancel context.CancelFunc, s *testServer, c *client.Client, d *kith.Duplex[string, string])
		want string
	}{
		{"the caller's ctx", func(cancel context.CancelFunc, _ *testServer, _ *client.Client, _ *kith.Duplex[string, string]) {
			cancel()
		}, "outer end Canceled"},
		{"a lost connection", func(_ context.CancelFunc, s *testServer, _ *client.Client, _ *kith.Duplex[string, string]) { s.drop() }, "outer end Unavailable"},
		{"the client", func(_ context.CancelFunc, _ *testServer, c *client.Client, _ *kith.Duplex[string, string]) { c.Close() }, "outer end Unavailable"},
		{"the caller", func(_ context.CancelFunc, _ *testServer, _ *client.Client, d *kith.Duplex[string, string]) { d.Close() }, "outer end Canceled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w world) {
				j := newJournal()
				s := serve(t, w.host("srv"), "srv", nil)
				c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Middleware: []kith.Middleware{j.middleware("outer")}})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				d, err := chat.Call(ctx, c)
				if err != nil {
					t.Fatalf("Call = %v", err)
				}
				defer d.Close()
				time.Sleep(time.Second)
				tc.end(cancel, s, c, d)
				<-j.ended
				if got := j.take(); got[len(got)-1] != tc.want {
					t.Errorf("middleware saw %q, want %q", got, tc.want)
				}
				if _, err := d.Recv(); err == nil || err == io.EOF {
					t.Errorf("Recv = %v, want an error", err)
				}
			})
		})
	}
}

// A caller whose ctx ends leaves at once, whatever middleware does.
func TestMiddlewareThatHangs(t *testing.T) {
	inWorld(t, func(t *testing.T, w world) {
		serve(t, w.host("srv"), "srv", nil)
		release := make(chan struct{})
		c := dial(t, client.Config{Transport: w.tr, Addrs: []string{"memory://srv"}, Middleware: []kith.Middleware{
			func(next kith.Handler) kith.Handler {
				return func(ctx context.Context, c kith.Call) error {
					<-release
					return next(context.WithoutCancel(ctx), c)
				}
			},
		}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := chat.Call(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Call = %v, want %v", err, context.DeadlineExceeded)
		}
		close(release)
		time.Sleep(time.Second)
		if st := w.net.Stats(); st.Streams > 2 { // the lane's two ends
			t.Errorf("Stats() = %+v, want no stream but the lane", st)
		}
	})
}
