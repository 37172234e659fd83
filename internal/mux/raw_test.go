package mux_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// A raw is the other end of a Conn, in the hands of a test.
type raw struct {
	t    testing.TB
	link net.Conn
}

// frame writes a frame.
func (r raw) frame(first byte, id uint64, payload []byte) error {
	_, err := r.link.Write(rawFrame(first, id, payload))
	return err
}

func rawFrame(first byte, id uint64, payload []byte) []byte {
	return appendRaw(nil, first, id, payload)
}

func appendRaw(b []byte, first byte, id uint64, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(first)<<24|uint32(len(payload)))
	b = binary.BigEndian.AppendUint64(b, id)
	return append(b, payload...)
}

// next reads a frame; the preface was read before.
func (r raw) next() (first byte, id uint64, payload []byte, err error) {
	var h [12]byte
	if _, err := io.ReadFull(r.link, h[:]); err != nil {
		return 0, 0, nil, err
	}
	payload = make([]byte, binary.BigEndian.Uint32(h[:])&0xffffff)
	_, err = io.ReadFull(r.link, payload)
	return h[0], binary.BigEndian.Uint64(h[4:]), payload, err
}

func u64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// rawPair returns an accepted Conn, and its dialling peer as a raw end that has
// said its preface.
func rawPair(t testing.TB, cfg mux.Config) (*mux.Conn, raw) {
	t.Helper()
	a, b := newPipe()
	t.Cleanup(func() { a.Close() })
	if _, err := a.Write([]byte(mux.Preface)); err != nil {
		t.Fatal(err)
	}
	return closed(t, mux.New(b, cfg)), raw{t, a}
}

// ended waits for the end of c and returns what ended it.
func ended(t testing.TB, c *mux.Conn) *transport.ConnError {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the connection did not end")
	}
	ce := transport.ConnErr(c.Context())
	if ce == nil {
		t.Fatalf("cause = %v, want a ConnError", context.Cause(c.Context()))
	}
	return ce
}

func TestProtocolErrors(t *testing.T) {
	big := make([]byte, 64<<10)
	for name, send := range map[string]func(r raw){
		"unknown type":             func(r raw) { r.frame(0x70, 1, nil) },
		"zeros":                    func(r raw) { r.link.Write(make([]byte, 100)) },
		"data on no stream":        func(r raw) { r.frame(0x10, 1, []byte("x")) },
		"open by the wrong side":   func(r raw) { r.frame(0x11, 2, []byte("x")) },
		"open out of order":        func(r raw) { r.frame(0x11, 3, []byte("x")) },
		"open twice":               func(r raw) { r.frame(0x11, 1, nil); r.frame(0x11, 1, nil) },
		"data after the end":       func(r raw) { r.frame(0x13, 1, nil); r.frame(0x10, 1, []byte("x")) },
		"data after a reset":       func(r raw) { r.frame(0x21, 1, u32(1)); r.frame(0x10, 1, []byte("x")) },
		"lane not in use":          func(r raw) { r.frame(0x10, 0, make([]byte, 17<<10)) },
		"window of no stream":      func(r raw) { r.frame(0x40, 1, u64(1<<30)) },
		"stop of an unused stream": func(r raw) { r.frame(0x30, 4, u32(1)) },
		"oversized":                func(r raw) { r.frame(0x11, 1, append(big, 0)) },
		"too much on a stream": func(r raw) {
			r.frame(0x11, 1, big)
			for range 4 {
				r.frame(0x10, 1, big)
			}
		},
		"too much on the connection": func(r raw) {
			for id := uint64(1); id < 32; id += 2 {
				for i := range 3 {
					first := byte(0x10)
					if i == 0 {
						first = 0x11
					}
					r.frame(first, id, big)
				}
			}
		},
		"more streams than granted": func(r raw) {
			for id := uint64(1); id < 5000; id += 2 {
				r.frame(0x11, id, []byte("x"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, r := rawPair(t, mux.Config{})
			go func() { // not to be held up by what it answers
				io.Copy(io.Discard, r.link)
			}()
			c.Context()
			send(r)
			ce := ended(t, c)
			var fe *mux.FrameError
			if !errors.As(ce, &fe) || ce.Remote || ce.Code != kith.Internal {
				t.Errorf("ended with %#v, want a FrameError", ce)
			}
		})
	}
}

func TestWrongPreface(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"GET / HTTP/1.1\r\n\r\n", "HTTP"},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", "TLS"},
		{"KITHMUX\x02", "version 2"},
		{"K\n\x1b[31m", `"K\n\x1b[31m"`},
	} {
		a, b := newPipe()
		conn := closed(t, mux.New(b, mux.Config{}))
		conn.Context()
		a.Write([]byte(c.in))
		ce := ended(t, conn)
		var pe *mux.PrefaceError
		if !errors.As(ce, &pe) || !strings.Contains(ce.Error(), c.want) {
			t.Errorf("after %q the connection ended with %v, want a PrefaceError with %s", c.in, ce, c.want)
		}
		got := make([]byte, 8)
		if _, err := io.ReadFull(a, got); err != nil || string(got) != mux.Preface {
			t.Errorf("the other side is told %q, %v, want the preface", got, err)
		}
		a.Close()
	}
}

func TestRemoteClose(t *testing.T) {
	c, r := rawPair(t, mux.Config{})
	s, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.frame(0x60, 0, append(u32(14), "so \xff long"...))
	ce := ended(t, c)
	if ce.Code != kith.Unavailable || ce.Reason != "so \uFFFD long" || !ce.Remote || ce.Err != nil {
		t.Errorf("ended with %#v", ce)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read() = %v, want ErrClosed", err)
	}
	if _, err := s.Write(make([]byte, 1)); err != ce {
		t.Errorf("Write() = %v, want %v", err, ce)
	}
	if _, err := c.OpenStream(t.Context()); err != ce {
		t.Errorf("OpenStream() = %v, want %v", err, ce)
	}
	if _, err := c.AcceptStream(t.Context()); err != ce {
		t.Errorf("AcceptStream() = %v, want %v", err, ce)
	}
}

func TestLinkEndsWithoutClose(t *testing.T) {
	for name, end := range map[string]func(raw){
		"at a frame's start": func(r raw) {},
		"in a header":        func(r raw) { r.link.Write([]byte{0x10, 0, 0}) },
		"in a payload":       func(r raw) { r.link.Write(rawFrame(0x10, 1, []byte("data"))[:14]) },
	} {
		t.Run(name, func(t *testing.T) {
			c, r := rawPair(t, mux.Config{})
			r.frame(0x11, 1, []byte("data"))
			s, err := c.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			end(r)
			r.link.Close()
			ce := ended(t, c)
			if ce.Code != kith.Unavailable || ce.Remote || !errors.Is(ce, io.ErrUnexpectedEOF) {
				t.Errorf("ended with %#v, want Unavailable and io.ErrUnexpectedEOF", ce)
			}
			got, err := io.ReadAll(s)
			if !strings.HasPrefix(string(got), "data") || !errors.Is(err, ce) {
				t.Errorf("ReadAll() = %q, %v, want what came and %v", got, err, ce)
			}
		})
	}
}

// TestFloods sends frames without effect, and expects the connection to end
// before they cost much.
func TestFloods(t *testing.T) {
	for name, f := range map[string]struct {
		setup, flood func(r raw) error
	}{
		"empty data":    {func(r raw) error { return r.frame(0x11, 1, nil) }, func(r raw) error { return r.frame(0x10, 1, nil) }},
		"old resets":    {func(r raw) error { return r.frame(0x21, 1, u32(1)) }, func(r raw) error { return r.frame(0x20, 1, u32(1)) }},
		"old windows":   {nil, func(r raw) error { return r.frame(0x40, 0, u64(1)) }},
		"streams":       {nil, func(r raw) error { return r.frame(0x50, 0, u64(1)) }},
		"stops":         {func(r raw) error { return r.frame(0x11, 1, nil) }, func(r raw) error { return r.frame(0x30, 1, u32(1)) }},
		"small windows": {func(r raw) error { return r.frame(0x11, 1, nil) }, smallWindows()},
	} {
		t.Run(name, func(t *testing.T) {
			c, r := rawPair(t, mux.Config{})
			c.Context()
			if f.setup != nil {
				f.setup(r)
			}
			n := 0
			for ; n < 30_000 && f.flood(r) == nil; n++ {
			}
			if ce := ended(t, c); !strings.Contains(ce.Error(), "without effect") {
				t.Errorf("after %d frames the connection ended with %v", n, ce)
			}
		})
	}
}

func smallWindows() func(raw) error {
	limit := uint64(1 << 20)
	return func(r raw) error {
		limit++
		return r.frame(0x40, 1, u64(limit))
	}
}

// TestRapidReset opens and resets streams as fast as they are granted, with an
// application that is slow to look. What is open stays within the limit.
func TestRapidReset(t *testing.T) {
	const limit = 64
	c, r := rawPair(t, mux.Config{MaxStreams: limit})
	grants := make(chan uint64, 1000)
	go func() {
		defer close(grants)
		if _, err := io.ReadFull(r.link, make([]byte, len(mux.Preface))); err != nil {
			return
		}
		for {
			first, _, p, err := r.next()
			if err != nil {
				return
			}
			if first == 0x50 {
				grants <- binary.BigEndian.Uint64(p)
			}
		}
	}()
	done := make(chan int)
	go func() {
		n := 0
		defer func() { done <- n }()
		for {
			s, err := c.AcceptStream(t.Context())
			if err != nil {
				return
			}
			s.Close()
			n++
		}
	}()
	opened, granted := uint64(0), uint64(16)
	for opened < 20_000 {
		for ; opened < granted; opened++ {
			if err := r.frame(0x21, 2*opened+1, u32(1)); err != nil {
				t.Fatalf("after %d streams: %v", opened, err)
			}
		}
		granted = <-grants
		if granted > opened+limit {
			t.Fatalf("granted %d streams with %d opened, want at most %d more", granted, opened, limit)
		}
	}
	c.CloseWithError(kith.OK, "")
	if n := <-done; uint64(n) > opened {
		t.Errorf("%d streams accepted of %d", n, opened)
	}
}

// TestUnreadResetsAreBounded lets a peer that reads nothing make the other side
// owe it frames.
func TestUnreadResetsAreBounded(t *testing.T) {
	var before, after runtime.MemStats
	c, r := rawPair(t, mux.Config{})
	go func() {
		for {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			s.Reset(kith.Aborted)
		}
	}()
	runtime.GC()
	runtime.ReadMemStats(&before)
	var err error
	n := uint64(0)
	for ; n < 100_000 && err == nil; n++ {
		err = r.frame(0x11, 2*n+1, []byte("x"))
	}
	ce := ended(t, c)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if !strings.Contains(ce.Error(), "limit") {
		t.Errorf("ended with %v after %d streams, want the limit of streams", ce, n)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
}

// TestDribble lets a header and then a payload come byte by byte, a second
// each: deadlines and other calls must not care.
func TestDribble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r := rawPair(t, mux.Config{})
		r.frame(0x11, 1, []byte("x"))
		s, err := c.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		io.ReadFull(s, make([]byte, 1))
		go func() {
			for _, b := range rawFrame(0x10, 1, bytes.Repeat([]byte("y"), 20)) {
				time.Sleep(time.Second)
				r.link.Write([]byte{b})
			}
		}()
		got := 0
		for i := 0; got < 20 && i < 200; i++ {
			start := time.Now()
			s.SetReadDeadline(start.Add(time.Second / 2))
			n, err := s.Read(make([]byte, 1))
			if took := time.Since(start); n == 0 && took != time.Second/2 || n > 0 && took > time.Second/2 {
				t.Errorf("Read %d = %d, %v after %v", i, n, err, took)
			}
			got += n
		}
		if got != 20 {
			t.Errorf("%d bytes came, want 20", got)
		}
		if o, err := c.OpenStream(t.Context()); err != nil {
			t.Errorf("OpenStream() = %v", err)
		} else if _, err := o.Write([]byte("z")); err != nil {
			t.Errorf("Write() = %v", err)
		}
	})
}
