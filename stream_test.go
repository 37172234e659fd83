package kith_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/kith-go/kith"
)

var (
	methodCount = kith.ServerStream[int, int]("s/Count")
	methodSum   = kith.ClientStream[int, int]("s/Sum")
	methodChat  = kith.Bidi[string, string]("s/Chat")
)

// counting serves methodCount: the numbers below n, or up to 5 and an error if n is
// negative. It adds to stopped when its loop was broken.
func counting(stopped *int) func(context.Context, int) iter.Seq2[int, error] {
	return func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range max(n, -n) {
				if !yield(i, nil) {
					*stopped++
					return
				}
			}
			if n < 0 {
				yield(0, errNotFound)
			}
		}
	}
}

func TestServerStream(t *testing.T) {
	stopped := 0
	var h kith.Handlers
	methodCount.Handle(&h, counting(&stopped))
	c := &loop{handlers: &h}

	calls := methodCount.Call(t.Context(), c, 4)
	if c.lastRequest().Method != nil {
		t.Error("Call sent something before the first range")
	}
	var got []int
	for n, err := range calls {
		if err != nil {
			t.Fatalf("range over Call(4) = %v, want no error", err)
		}
		got = append(got, n)
	}
	if !slices.Equal(got, []int{0, 1, 2, 3}) || c.closedStreams() != 1 || stopped != 0 {
		t.Errorf("Call(4) = %v, closed %d, stopped %d, want 0 to 3, 1, 0", got, c.closedStreams(), stopped)
	}
	wantUsed(t, calls)

	var last error
	got = nil
	for n, err := range methodCount.Call(t.Context(), c, -2) {
		if last != nil {
			t.Errorf("range went on after %v", last)
		}
		if last = err; err == nil {
			got = append(got, n)
		}
	}
	if !slices.Equal(got, []int{0, 1}) || !errors.Is(last, errNotFound) || !kith.Remote(last) {
		t.Errorf("Call(-2) = %v, then %v, want 0, 1, then a remote %v", got, last, errNotFound)
	}
}

func wantUsed[T any](t *testing.T, seq iter.Seq2[T, error]) {
	t.Helper()
	n := 0
	for _, err := range seq {
		n++
		if !errors.Is(err, kith.ErrUsed) {
			t.Errorf("second range yields %v, want ErrUsed", err)
		}
	}
	if n != 1 {
		t.Errorf("second range yields %d times, want once", n)
	}
}

func TestServerStreamBreakCancels(t *testing.T) {
	stopped := 0
	var h kith.Handlers
	methodCount.Handle(&h, counting(&stopped))
	c := &loop{handlers: &h}
	for n, err := range methodCount.Call(t.Context(), c, 1<<30) {
		if n == 3 || err != nil {
			break
		}
	}
	// Close waited for the handler, whose Send failed.
	if c.closedStreams() != 1 {
		t.Errorf("streams closed after break = %d, want 1", c.closedStreams())
	}

	func() {
		defer func() { _ = recover() }()
		for range methodCount.Call(t.Context(), c, 10) {
			panic("in the loop")
		}
	}()
	if c.closedStreams() != 2 {
		t.Errorf("streams closed after a panic in the loop = %d, want 2", c.closedStreams())
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for n, err := range methodCount.Call(ctx, c, 1<<30) {
		if last = err; n == 3 {
			cancel()
		}
	}
	if last == nil || c.closedStreams() != 3 {
		t.Errorf("range after its ctx ended = %v, closed %d, want an error, 3", last, c.closedStreams())
	}
}

func TestServerStreamErrors(t *testing.T) {
	var h kith.Handlers
	methodCount.Handle(&h, func(context.Context, int) iter.Seq2[int, error] {
		t.Error("the handler ran")
		return nil
	})
	c := &loop{handlers: &h}
	for name, seq := range map[string]iter.Seq2[int, error]{
		"cannot open":   methodCount.Call(t.Context(), echo{}, 1),
		"cannot encode": methodCount.Call(t.Context(), c, 1, kith.WithCodec(hexCodec{})),
		"not decoded": func(yield func(int, error) bool) {
			for _, err := range kith.ServerStream[string, int]("s/Count").Call(t.Context(), c, "text") {
				if kith.CodeOf(err) != kith.InvalidArgument || !kith.Remote(err) {
					t.Errorf("Call(text) yields %v, want a remote InvalidArgument", err)
				}
				yield(0, err)
			}
		},
	} {
		n := 0
		for _, err := range seq {
			if n++; err == nil {
				t.Errorf("%s: range yields no error", name)
			}
		}
		if n != 1 {
			t.Errorf("%s: range yields %d times, want one error", name, n)
		}
	}
}

func TestClientStream(t *testing.T) {
	var h kith.Handlers
	methodSum.Handle(&h, func(_ context.Context, in iter.Seq2[int, error]) (int, error) {
		total := 0
		for n, err := range in {
			if err != nil {
				return 0, err
			}
			if n < 0 {
				return 0, errNotFound
			}
			if total += n; total > 100 {
				break // an answer before the last request
			}
		}
		return total, nil
	})
	c := &loop{handlers: &h}
	call := func(in ...int) (int, error) {
		d, err := methodSum.Call(t.Context(), c)
		if err != nil {
			t.Fatalf("Call() = %v, want no error", err)
		}
		defer d.Close()
		for _, n := range in {
			if err := d.Send(n); err != nil && err != io.EOF {
				t.Errorf("Send(%d) = %v, want nil or io.EOF", n, err)
			}
		}
		return d.CloseAndRecv()
	}
	for _, tt := range []struct {
		in   []int
		want int
	}{{nil, 0}, {[]int{1, 2, 3}, 6}, {[]int{60, 60}, 120}} {
		if got, err := call(tt.in...); got != tt.want || err != nil {
			t.Errorf("Call(%v) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
	if got, err := call(1, -1); got != 0 || !errors.Is(err, errNotFound) || !kith.Remote(err) {
		t.Errorf("Call(1, -1) = %d, %v, want a remote %v", got, err, errNotFound)
	}
	if d, err := methodSum.Call(t.Context(), echo{}); d != nil || err == nil {
		t.Errorf("Call through a caller without streams = %v, %v, want an error", d, err)
	}
}

func TestClientStreamDecodeError(t *testing.T) {
	seen := make(chan error, 1)
	var h kith.Handlers
	methodSum.Handle(&h, func(_ context.Context, in iter.Seq2[int, error]) (int, error) {
		var last error
		for _, err := range in {
			last = err
		}
		seen <- last
		return 0, last
	})
	d, err := kith.ClientStream[string, int]("s/Sum").Call(t.Context(), &loop{handlers: &h})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_ = d.Send("text")
	if _, err := d.CloseAndRecv(); kith.CodeOf(err) != kith.InvalidArgument || !kith.Remote(err) {
		t.Errorf("CloseAndRecv() = %v, want a remote InvalidArgument", err)
	}
	var e *kith.Error
	if err := <-seen; !errors.As(err, &e) || e.Reason() != "decode" {
		t.Errorf("the range yielded %v, want an authored InvalidArgument", err)
	}
}

func TestCloseAndRecvWithoutAnswer(t *testing.T) {
	var h kith.Handlers
	h.Register(&methodSum.Method, func(context.Context, kith.Call) error { return nil })
	d, err := methodSum.Call(t.Context(), &loop{handlers: &h})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := d.CloseAndRecv(); err == io.EOF || kith.CodeOf(err) != kith.Internal {
		t.Errorf("CloseAndRecv() = %d, %v, want Internal", got, err)
	}
}

func TestBidi(t *testing.T) {
	var h kith.Handlers
	methodChat.Handle(&h, func(_ context.Context, d *kith.Duplex[string, string]) error {
		if err := d.Close(); err != nil { // nothing, in a handler
			return err
		}
		for s, err := range d.All() {
			if err != nil {
				return err
			}
			if s == "fail" {
				return errNotFound
			}
			if err := d.Send(strings.ToUpper(s)); err != nil {
				return err
			}
		}
		wantUsed(t, d.All())
		return d.Send("bye")
	})
	c := &loop{handlers: &h}
	d, err := methodChat.Call(t.Context(), c, kith.WithCodec(hexCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"one", "two"} {
		if err := d.Send(s); err != nil {
			t.Errorf("Send(%q) = %v, want no error", s, err)
		}
		if got, err := d.Recv(); got != strings.ToUpper(s) || err != nil {
			t.Errorf("Recv() = %q, %v, want %q", got, err, strings.ToUpper(s))
		}
	}
	if err := d.CloseSend(); err != nil {
		t.Errorf("CloseSend() = %v, want no error", err)
	}
	var rest []string
	for s, err := range d.All() {
		if err != nil {
			t.Errorf("All() yields %v, want no error", err)
		}
		rest = append(rest, s)
	}
	if !slices.Equal(rest, []string{"bye"}) {
		t.Errorf("All() = %q, want bye", rest)
	}
	wantUsed(t, d.All())
	for range 2 {
		if err := d.Close(); err != nil {
			t.Errorf("Close() = %v, want no error", err)
		}
	}
	if c.closedStreams() != 1 {
		t.Errorf("streams closed = %d, want 1", c.closedStreams())
	}
}

func TestBidiFails(t *testing.T) {
	var h kith.Handlers
	methodChat.Handle(&h, func(ctx context.Context, d *kith.Duplex[string, string]) error {
		if _, err := d.Recv(); err != nil {
			return err
		}
		return errNotFound
	})
	c := &loop{handlers: &h}
	d, err := methodChat.Call(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Send("x"); err != nil {
		t.Errorf("Send(x) = %v, want no error", err)
	}
	if s, err := d.Recv(); !errors.Is(err, errNotFound) {
		t.Errorf("Recv() = %q, %v, want %v", s, err, errNotFound)
	}
	if err := d.Send("y"); err != io.EOF {
		t.Errorf("Send after the end = %v, want io.EOF", err)
	}
	if d, err := methodChat.Call(t.Context(), echo{}); d != nil || err == nil {
		t.Errorf("Call through a caller without streams = %v, %v, want an error", d, err)
	}
}

// TestDuplexRangeBroken: breaking out of All leaves the call as it is.
func TestDuplexRangeBroken(t *testing.T) {
	stopped := 0
	var h kith.Handlers
	kith.Bidi[int, int]("s/Count2").Handle(&h, func(_ context.Context, d *kith.Duplex[int, int]) error {
		for i := range 3 {
			if err := d.Send(i); err != nil {
				stopped++
				return err
			}
		}
		return nil
	})
	d, err := kith.Bidi[int, int]("s/Count2").Call(t.Context(), &loop{handlers: &h})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for n, err := range d.All() {
		if n != 0 || err != nil {
			t.Errorf("All() yields %d, %v, want 0", n, err)
		}
		break
	}
	if n, err := d.Recv(); n != 1 || err != nil {
		t.Errorf("Recv() after the broken range = %d, %v, want 1", n, err)
	}
	if n, err := d.Recv(); n != 2 || err != nil {
		t.Errorf("Recv() = %d, %v, want 2", n, err)
	}
	if n, err := d.Recv(); err != io.EOF || stopped != 0 {
		t.Errorf("Recv() = %d, %v, want io.EOF", n, err)
	}
}
