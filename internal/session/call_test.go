package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"testing"

	"github.com/kith-go/kith"
)

var (
	greet = kith.Unary[string, string]("test/Greet")
	count = kith.ServerStream[int, int]("test/Count")
	sum   = kith.ClientStream[int, int]("test/Sum")
	chat  = kith.Bidi[string, string]("test/Chat")
	tell  = kith.Notify[string]("test/Tell")

	errNobody = kith.NewError(kith.NotFound, "nobody", "nobody of that name")
)

func allKinds(told chan<- string) *kith.Handlers {
	h := echoHandlers()
	greet.Handle(h, func(ctx context.Context, name string) (string, error) {
		switch name {
		case "":
			return "", errNobody
		case "back":
			return greet.Call(ctx, kith.CallerFrom(ctx), "caller")
		}
		return "hello " + name, nil
	})
	count.Handle(h, func(_ context.Context, n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			if n == 13 {
				yield(0, errNobody)
			}
		}
	})
	sum.Handle(h, func(_ context.Context, in iter.Seq2[int, error]) (int, error) {
		total := 0
		for n, err := range in {
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	})
	chat.Handle(h, func(_ context.Context, d *kith.Duplex[string, string]) error {
		for s, err := range d.All() {
			if err != nil {
				return err
			}
			if err := d.Send(s + s); err != nil {
				return err
			}
		}
		return nil
	})
	tell.Handle(h, func(_ context.Context, s string) error {
		told <- s
		return nil
	})
	return h
}

func TestAllKinds(t *testing.T) {
	told := make(chan string, 1)
	p := connect(t, overMemory(t), allKinds(told), nil)
	for name, s := range map[string]kith.Caller{"dialed": p.dialed, "accepted": p.accepted} {
		t.Run(name, func(t *testing.T) { testAllKinds(t, s, told) })
	}
}

func testAllKinds(t *testing.T, s kith.Caller, told <-chan string) {
	ctx := t.Context()
	for name, want := range map[string]string{"Ada": "hello Ada", "back": "hello caller"} {
		if got, err := greet.Call(ctx, s, name); got != want || err != nil {
			t.Errorf("greet.Call(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := greet.Call(ctx, s, ""); !errors.Is(err, errNobody) || !kith.Remote(err) || kith.Unprocessed(err) {
		t.Errorf("greet.Call(\"\") = %v, want remote %v", err, errNobody)
	}
	for _, size := range []int{0, 1, 16 << 10, 100 << 10, 4 << 20} {
		big := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		if got, err := echo.Call(ctx, s, big); !bytes.Equal(got, big) || err != nil {
			t.Errorf("echo.Call of %d bytes: equal %v, %v", size, bytes.Equal(got, big), err)
		}
	}
	next := 0
	for n, err := range count.Call(ctx, s, 10) {
		if n != next || err != nil {
			t.Fatalf("count yields %d, %v, want %d", n, err, next)
		}
		next++
	}
	if next != 10 {
		t.Errorf("count.Call(10) yields %d values", next)
	}
	var last error
	for _, err := range count.Call(ctx, s, 13) {
		last = err
	}
	if !errors.Is(last, errNobody) {
		t.Errorf("count.Call(13) ends with %v, want %v", last, errNobody)
	}
	d, err := sum.Call(ctx, s)
	if err != nil {
		t.Fatalf("sum.Call = %v", err)
	}
	defer d.Close()
	for i := range 100 {
		if err := d.Send(i); err != nil {
			t.Fatalf("Send(%d) = %v", i, err)
		}
	}
	if got, err := d.CloseAndRecv(); got != 4950 || err != nil {
		t.Errorf("sum = %d, %v, want 4950", got, err)
	}
	testChat(t, s)
	if err := tell.Call(ctx, s, "news"); err != nil {
		t.Errorf("tell.Call = %v", err)
	}
	if got := <-told; got != "news" {
		t.Errorf("told %q", got)
	}
}

func testChat(t *testing.T, s kith.Caller) {
	c, err := chat.Call(t.Context(), s)
	if err != nil {
		t.Fatalf("chat.Call = %v", err)
	}
	defer c.Close()
	for _, word := range []string{"a", "bc", ""} {
		if err := c.Send(word); err != nil {
			t.Fatalf("Send(%q) = %v", word, err)
		}
		if got, err := c.Recv(); got != word+word || err != nil {
			t.Fatalf("Recv() = %q, %v, want %q", got, err, word+word)
		}
	}
	if err := c.CloseSend(); err != nil {
		t.Errorf("CloseSend() = %v", err)
	}
	if _, err := c.Recv(); err != io.EOF {
		t.Errorf("Recv() = %v, want EOF", err)
	}
}
