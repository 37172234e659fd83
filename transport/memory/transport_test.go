package memory_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

func TestListenNames(t *testing.T) {
	n := memory.NewNetwork(memory.NetworkConfig{})
	defer n.Close()
	tr := n.Transport(memory.Config{Host: "box"})
	for _, c := range []struct{ host, want string }{
		{"", "box:1"},
		{":0", "box:2"},
		{"", "box:3"},
		{":4433", "box:4433"},
		{"db", "db"},
		{"db:0", "db:1"},
		{"db:5432", "db:5432"},
	} {
		l, err := tr.Listen(t.Context(), transport.Addr{Host: c.host})
		if err != nil {
			t.Errorf("Listen(%q) = %v, want nil", c.host, err)
			continue
		}
		want := transport.Addr{Scheme: "memory", ID: tr.ID(), Host: c.want}
		if got := l.Addr(); got != want {
			t.Errorf("Listen(%q).Addr() = %v, want %v", c.host, got, want)
		}
		if got, err := transport.ParseAddr(want.String()); got != want || err != nil {
			t.Errorf("ParseAddr(%q) = %v, %v, want %v", want, got, err, want)
		}
	}
	for _, a := range []transport.Addr{
		{Host: "db"},                  // taken
		{Host: ":4433"},               // taken
		{Scheme: "quic", Host: "new"}, // another transport's
		{Host: "new", Path: "/x"},
	} {
		if l, err := tr.Listen(t.Context(), a); err == nil {
			t.Errorf("Listen(%v) = %v, want an error", a, l.Addr())
		}
	}
	c, err := tr.Dial(t.Context(), transport.Addr{Host: ":4433"})
	if err != nil {
		t.Fatalf("Dial(:4433) = %v, want nil", err)
	}
	if got := c.Info().Remote.Host; got != "box:4433" {
		t.Errorf("Info().Remote.Host = %q, want %q", got, "box:4433")
	}
}

func TestDialErrors(t *testing.T) {
	n := memory.NewNetwork(memory.NetworkConfig{})
	defer n.Close()
	tr := n.Transport(memory.Config{})
	l, err := tr.Listen(t.Context(), transport.Addr{Host: "here"})
	if err != nil {
		t.Fatalf("Listen(here) = %v, want nil", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	other := kith.NewKey().ID()
	var pe *transport.PeerError
	for _, c := range []struct {
		name string
		ctx  context.Context
		addr transport.Addr
		is   func(error) bool
	}{
		{"nobody", t.Context(), transport.Addr{Host: "there"}, func(err error) bool { return errors.Is(err, memory.ErrRefused) }},
		{"another scheme", t.Context(), transport.Addr{Scheme: "tcp", Host: "here"}, func(err error) bool { return err != nil }},
		{"ended ctx", ended, l.Addr(), func(err error) bool { return errors.Is(err, context.Canceled) }},
		{"another ID", t.Context(), l.Addr().WithID(other), func(err error) bool {
			return errors.As(err, &pe) && *pe == transport.PeerError{Want: other, Got: tr.ID()}
		}},
	} {
		if conn, err := tr.Dial(c.ctx, c.addr); !c.is(err) {
			t.Errorf("Dial(%s) = %v, %v, want another error", c.name, conn, err)
		}
	}
	if _, err := tr.Dial(t.Context(), l.Addr().WithID(kith.ID{})); err != nil {
		t.Errorf("Dial() without an ID = %v, want nil", err)
	}
	l.Close()
	if _, err := tr.Dial(t.Context(), l.Addr()); !errors.Is(err, memory.ErrRefused) {
		t.Errorf("Dial() after Listener.Close = %v, want ErrRefused", err)
	}
}

func TestInfo(t *testing.T) {
	f := hosts(t, memory.NetworkConfig{})
	a, b := f.ac.Info(), f.bc.Info()
	if a.Peer != f.b.ID() || b.Peer != f.a.ID() || a.Remote.ID != a.Peer || b.Remote.ID != b.Peer {
		t.Errorf("identities are %v and %v, want %v and %v", a.Peer, b.Peer, f.b.ID(), f.a.ID())
	}
	if !a.Dialed || b.Dialed || a.Transport != memory.Scheme || a.TLS != nil {
		t.Errorf("Info() = %+v where dialled, %+v where accepted", a, b)
	}
	if a.Binding != b.Binding || a.Binding == [32]byte{} {
		t.Errorf("bindings are %x and %x, want the same", a.Binding, b.Binding)
	}
	if b.Remote.Host != "a" || b.Local != f.l.Addr() {
		t.Errorf("accepted from %v at %v, want host a at %v", b.Remote, b.Local, f.l.Addr())
	}
}

func TestHostNames(t *testing.T) {
	n := memory.NewNetwork(memory.NetworkConfig{})
	defer n.Close()
	n.Transport(memory.Config{Host: "host2"})
	if x, y := n.Transport(memory.Config{}).Host(), n.Transport(memory.Config{}).Host(); x == y || x == "host2" || y == "host2" {
		t.Errorf("fresh hosts are %q and %q, want two new names", x, y)
	}
	for _, name := range []string{"a:1", "a/b", "a b", "x@y", "::1"} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Errorf("Transport(Host: %q) did not panic", name)
				}
			}()
			n.Transport(memory.Config{Host: name})
		})
	}
}

func TestBacklog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		const backlog = 128
		for range backlog {
			if _, err := f.a.Dial(t.Context(), f.l.Addr()); err != nil {
				t.Fatalf("Dial() = %v, want nil", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.a.Dial(ctx, f.l.Addr()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial() beyond the backlog = %v, want context.DeadlineExceeded", err)
		}
		errs := make(chan error)
		for range 3 {
			go func() {
				_, err := f.a.Dial(t.Context(), f.l.Addr())
				errs <- err
			}()
		}
		synctest.Wait()
		if _, err := f.l.Accept(t.Context()); err != nil {
			t.Errorf("Accept() = %v, want nil", err)
		}
		if err := <-errs; err != nil {
			t.Errorf("Dial() once there is room = %v, want nil", err)
		}
		f.l.Close()
		for range 2 {
			if err := <-errs; !errors.Is(err, memory.ErrRefused) {
				t.Errorf("Dial() whose listener closes = %v, want ErrRefused", err)
			}
		}
		if got := f.net.Stats().Conns; got != 2 { // the fixture's and the accepted one
			t.Errorf("Stats().Conns = %d, want 2", got)
		}
	})
}

// TestSlots opens streams at the limit and looks at what gives a slot back.
func TestSlots(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dialed, accepted := connect(t, memory.Config{MaxStreams: 1})
		full := func() bool {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s, err := dialed.OpenStream(ctx)
			if err == nil {
				s.Reset(0)
				r, _ := accepted.AcceptStream(t.Context())
				r.Close()
			}
			return err != nil
		}
		open := func() (near, far transport.Stream) {
			t.Helper()
			near, err := dialed.OpenStream(t.Context())
			if err != nil {
				t.Fatalf("OpenStream() = %v, want nil", err)
			}
			near.Write([]byte("x"))
			far, err = accepted.AcceptStream(t.Context())
			if err != nil {
				t.Fatalf("AcceptStream() = %v, want nil", err)
			}
			return near, far
		}

		near, far := open()
		near.Close()
		if !full() {
			t.Errorf("the opener's Close alone gives the slot back")
		}
		far.Close()
		if full() {
			t.Errorf("both sides have closed, and the slot is not given back")
		}

		near, far = open()
		far.Close()
		if full() {
			t.Errorf("the accepting side has closed with nothing to deliver, and the slot is not given back")
		}
		near.Close()

		near, far = open()
		transport.WriteLast(far, []byte("answer"))
		far.Close()
		if !full() {
			t.Errorf("the slot is given back while the answer is not read")
		}
		if b, err := io.ReadAll(near); string(b) != "answer" || err != nil {
			t.Errorf("ReadAll() = %q, %v, want %q", b, err, "answer")
		}
		if full() {
			t.Errorf("the answer was read, and the slot is not given back")
		}
		near.Close()

		near, _ = dialed.OpenStream(t.Context())
		near.Reset(3)
		if !full() {
			t.Errorf("a stream reset before it was accepted gives its slot back")
		}
	})
}

// TestUnreadStreamsShareMemory fills all streams of a connection, in vain.
func TestUnreadStreamsShareMemory(t *testing.T) { bubble(t, unreadStreamsShareMemory) }

func unreadStreamsShareMemory(t *testing.T) {
	n := memory.NewNetwork(memory.NetworkConfig{})
	defer n.Close()
	tr := n.Transport(memory.Config{})
	l, err := tr.Listen(t.Context(), transport.Addr{})
	if err != nil {
		t.Fatalf("Listen() = %v, want nil", err)
	}
	dialed, accepted := link(t, tr, l)
	const bound = 16<<20 + 1024*16<<10
	p := make([]byte, 300<<10)
	for i := range 1023 {
		s, err := dialed.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() = %v, want nil", err)
		}
		s.SetWriteDeadline(time.Now().Add(time.Millisecond))
		k, err := s.Write(p)
		if k < 16<<10 || err == nil {
			t.Fatalf("Write(300 KiB) on stream %d = %d, %v, want 16 KiB at least and an error", i, k, err)
		}
		if _, err := accepted.AcceptStream(t.Context()); err != nil {
			t.Fatalf("AcceptStream() = %v, want nil", err)
		}
	}
	if got := n.Stats().Buffered; got > bound || got < bound/2 {
		t.Errorf("Stats().Buffered = %d, want up to %d", got, bound)
	}
	// The last slot still works, for more than it is sure to have room for.
	s, err := dialed.OpenStream(t.Context())
	if err != nil {
		t.Fatalf("OpenStream() = %v, want nil", err)
	}
	go func() {
		s.Write(make([]byte, 1<<20))
		s.CloseWrite()
	}()
	far, err := accepted.AcceptStream(t.Context())
	if err != nil {
		t.Fatalf("AcceptStream() = %v, want nil", err)
	}
	if k, err := io.Copy(io.Discard, far); k != 1<<20 || err != nil {
		t.Errorf("Copy() = %d, %v, want 1 MiB", k, err)
	}
	dialed.CloseWithError(0, "")
	if got := n.Stats(); got != (memory.Stats{Listeners: 1}) {
		t.Errorf("Stats() = %+v, want no connection", got)
	}
}

func TestNoLimits(t *testing.T) {
	dialed, _ := connect(t, memory.Config{MaxStreams: -1, Window: -1})
	for range 2000 {
		s, err := dialed.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() = %v, want nil", err)
		}
		if _, err := s.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("Write() = %v, want nil", err)
		}
	}
	s, _ := dialed.OpenStream(t.Context())
	if n, err := s.Write(make([]byte, 32<<20)); err != nil {
		t.Errorf("Write(32 MiB) = %d, %v, want nil", n, err)
	}
}

func TestReasonIsCut(t *testing.T) {
	dialed, accepted := connect(t, memory.Config{})
	dialed.CloseWithError(1, strings.Repeat("x", 1000))
	if got := len(transport.ConnErr(accepted.Context()).Reason); got != transport.MaxReason {
		t.Errorf("a reason of 1000 bytes came as %d, want %d", got, transport.MaxReason)
	}
}

// TestErrorsAfterConnEnds checks that streams which were finished before the
// connection ended name its end too.
func TestErrorsAfterConnEnds(t *testing.T) {
	dialed, accepted := connect(t, memory.Config{})
	s, _ := dialed.OpenStream(t.Context())
	s.Reset(1)
	r, _ := accepted.AcceptStream(t.Context())
	r.Close()
	dialed.CloseWithError(kith.Aborted, "bye")
	var e *transport.ConnError
	if _, err := s.Write([]byte("x")); !errors.As(err, &e) || e.Remote || e.Reason != "bye" {
		t.Errorf("Write() = %v, want how the connection ended", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.As(err, &e) || !e.Remote || e.Reason != "bye" {
		t.Errorf("Read() = %v, want how the connection ended", err)
	}
}

// TestIdleConns measures what a connection costs that does nothing.
func TestIdleConns(t *testing.T) {
	tr := memory.New(memory.Config{})
	defer tr.Close()
	l, err := tr.Listen(t.Context(), transport.Addr{})
	if err != nil {
		t.Fatalf("Listen() = %v, want nil", err)
	}
	const conns = 1000
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	for range conns {
		dialed, accepted := link(t, tr, l)
		s, _ := dialed.OpenStream(t.Context())
		s.Write(make([]byte, 100_000))
		r, _ := accepted.AcceptStream(t.Context())
		io.ReadFull(r, make([]byte, 100_000))
		s.Close()
		r.Close()
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d idle connections run %d goroutines, want none", conns, got-goroutines)
	}
	if got := (heapInUse() - heap) / conns; got > 4<<10 {
		t.Errorf("an idle connection takes %d bytes, want 4 KiB at most", got)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // the first one only empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestCancelLosesNoWakeup has the first of two that wait give up just when
// there is something for it.
func TestCancelLosesNoWakeup(t *testing.T) {
	t.Run("AcceptStream", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			dialed, accepted := connect(t, memory.Config{})
			cancelFirstOfTwo(t, accepted.AcceptStream, func() {
				s, _ := dialed.OpenStream(t.Context())
				s.CloseWrite()
				s.Close()
			}, func(s transport.Stream) { s.Close() })
		})
	})
	t.Run("OpenStream", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			dialed, accepted := connect(t, memory.Config{MaxStreams: 1})
			held, _ := dialed.OpenStream(t.Context())
			cancelFirstOfTwo(t, dialed.OpenStream, func() {
				held.Reset(0)
				r, _ := accepted.AcceptStream(t.Context())
				r.Close()
			}, func(s transport.Stream) { held = s })
		})
	})
}

// cancelFirstOfTwo calls take twice at once, lets give make a stream
// available, and cancels the call that is to get it before it has run.
func cancelFirstOfTwo(t *testing.T, take func(context.Context) (transport.Stream, error), give func(), use func(transport.Stream)) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan transport.Stream, 2)
		for _, ctx := range []context.Context{ctx, t.Context()} {
			go func() {
				s, _ := take(ctx)
				got <- s
			}()
			synctest.Wait()
		}
		give()
		cancel()
		s := <-got
		if s != nil { // one was quicker than cancel: there is another for the other
			use(s)
			give()
		}
		other := <-got
		if other == nil {
			other, _ = take(t.Context())
		}
		use(other)
	}
}

// How a connection ended is what its streams tell at the other end, also where
// this end's user lets go of a stream at the same moment.
func TestCloseIsSeenFirst(t *testing.T) {
	for range 2000 {
		a, b := connect(t, memory.Config{})
		s, err := a.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		peer, err := b.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() {
			_, _ = s.Read(make([]byte, 1)) // until the connection ends
			_ = s.Close()
			close(closed)
		}()
		go func() { _ = a.CloseWithError(kith.OK, "over") }()
		_, err = io.ReadAll(peer)
		var ce *transport.ConnError
		if !errors.As(err, &ce) || !ce.Remote || ce.Code != kith.OK {
			t.Fatalf("Read() = %v, want the other side's close", err)
		}
		<-closed
	}
}
