package mux_test

import (
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
)

// fuzzAllocates is what a connection may allocate in its life beside what its
// input makes it: itself, its first streams, a buffer to read into of 64 KiB, and
// what the test does with them.
const fuzzAllocates = 128 << 10

// FuzzConn is a peer that says anything. The connection must end with its
// input, whatever that was, without a panic, and without allocating on its word: all
// that is ever allocated, freed or not, stays below fuzzAllocates and twice what came.
// Twice, as what is not read yet lies in chunks that may be half empty. What a frame only
// announces costs nothing.
func FuzzConn(f *testing.F) {
	hello := []byte(mux.Preface)
	seq := func(frames ...[]byte) []byte {
		b := hello
		for _, fr := range frames {
			b = append(b[:len(b):len(b)], fr...)
		}
		return b
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), true)
	f.Add(seq(rawFrame(0x10, 0, []byte("lane"))), true)
	f.Add(seq(rawFrame(0x11, 1, []byte("data")), rawFrame(0x12, 1, nil)), false)
	f.Add(seq(rawFrame(0x13, 1, make([]byte, 5000)), rawFrame(0x20, 1, u32(7)), rawFrame(0x30, 1, u32(8))), false)
	f.Add(seq(rawFrame(0x40, 0, u64(1<<63)), rawFrame(0x50, 0, u64(1<<63)), rawFrame(0x60, 0, append(u32(1), "bye"...))), true)
	f.Add(seq(rawFrame(0x21, 1, u32(0)), rawFrame(0x1d, 3, make([]byte, 65536)), rawFrame(0x40, 2, u64(1<<20))), false)
	f.Fuzz(func(t *testing.T, input []byte, lane bool) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a, b := newPipe()
		c := mux.New(b, mux.Config{})
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(io.Discard, a) })
		if lane {
			log := newLaneLog(0)
			log.data = func([]byte) error { return nil }
			log.stream = func(s *mux.Stream) { s.Close() }
			c.StartLane(log)
		} else {
			wg.Go(func() { useStreams(c) })
		}
		a.Write(input)
		a.CloseWrite()
		<-c.Context().Done()
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(2*len(input)+fuzzAllocates) {
			t.Errorf("%d bytes of input made %d bytes of allocations, want at most twice that and %d", len(input), grown, fuzzAllocates)
		}
		c.CloseWithError(kith.OK, "")
		a.Close()
		wg.Wait()
	})
}

// useStreams opens some streams and answers some of those that come.
func useStreams(c *mux.Conn) {
	for i := range 3 {
		s, err := c.OpenStream(c.Context())
		if err != nil {
			return
		}
		s.Write(make([]byte, 10))
		if i == 1 {
			s.CloseWrite()
		}
		if i != 2 {
			s.Close()
		}
	}
	for i := 0; ; i++ {
		s, err := c.AcceptStream(c.Context())
		if err != nil {
			return
		}
		switch i % 3 {
		case 0:
			s.Read(make([]byte, 10))
			s.Close()
		case 1:
			s.Reset(kith.Aborted)
		case 2:
			s.Write([]byte("answer"))
		}
	}
}
