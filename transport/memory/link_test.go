package memory_test

import (
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

const ms = time.Millisecond

func TestLatency(t *testing.T) {
	bubble(t, func(t *testing.T) {
		start := time.Now()
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 50 * ms}})
		f.took("Dial", start, 100*ms)

		start = time.Now()
		as, bs := f.stream()
		f.took("the first byte", start, 50*ms)

		start = time.Now()
		f.write(bs, 1000)
		f.took("Write", start, 0)
		f.read(as, 1000)
		f.took("the answer", start, 50*ms)

		start = time.Now()
		transport.WriteLast(as, []byte("x"))
		if b, err := io.ReadAll(bs); string(b) != "x" || err != nil {
			t.Errorf("ReadAll() = %q, %v, want %q", b, err, "x")
		}
		f.took("half-close", start, 50*ms)

		start = time.Now()
		bs.Reset(7)
		var se *transport.StreamError
		if _, err := as.Read(make([]byte, 1)); !errors.As(err, &se) || *se != (transport.StreamError{Code: 7, Remote: true}) {
			t.Errorf("Read() after the other side's Reset(7) = %v, want that", err)
		}
		f.took("Reset", start, 50*ms)

		start = time.Now()
		f.ac.CloseWithError(kith.Aborted, "bye")
		<-f.bc.Context().Done()
		f.took("CloseWithError", start, 50*ms)
		if e := transport.ConnErr(f.bc.Context()); *e != (transport.ConnError{Code: kith.Aborted, Reason: "bye", Remote: true}) {
			t.Errorf("the other end ended with %v, want what CloseWithError gave", e)
		}
	})
}

func TestLatencyOfHost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		start := time.Now()
		f.net.SetOneWay("a", "b", memory.Link{Latency: 30 * ms})
		as, bs := f.stream()
		f.write(bs, 1)
		f.read(as, 1)
		f.took("a round trip", start, 30*ms)

		f.net.SetLink("a", "b", memory.Link{})
		start = time.Now()
		f.stream()
		f.took("a stream after the link is perfect again", start, 0)
	})
}

// TestLinkGetsBetter checks that nothing overtakes what is on its way.
func TestLinkGetsBetter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		as, bs := f.stream()
		start := time.Now()
		var want []byte
		for i := range 20 {
			f.net.SetLink("a", "b", memory.Link{Latency: time.Duration(20-i) * ms})
			want = append(want, byte(i))
			as.Write(want[i:])
		}
		f.net.SetLink("a", "b", memory.Link{})
		want = append(want, 99)
		transport.WriteLast(as, want[20:])
		if got, err := io.ReadAll(bs); !slices.Equal(got, want) || err != nil {
			t.Errorf("ReadAll() = %v, %v, want %v", got, err, want)
		}
		f.took("all", start, 20*ms)
	})
}

func TestBandwidth(t *testing.T) {
	const size = 12_345_678
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Bandwidth: 12_500_000, Latency: 10 * ms}})
		as, bs := f.stream()
		synctest.Wait()
		start := time.Now()
		go as.Write(make([]byte, size))
		f.read(bs, size)
		want := 10*ms + time.Duration(float64(size)/12_500_000*1e9)
		if got := time.Since(start); (got - want).Abs() > 1 {
			t.Errorf("%d bytes took %v, want %v", size, got, want)
		}
		if got := f.net.Carried("a", "b"); got != size+1 {
			t.Errorf("Carried() = %d, want %d", got, size+1)
		}
	})
}

func TestBandwidthIsShared(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Bandwidth: 1_000_000}})
		ac, bc := link(t, f.a, f.l) // another connection, the same link
		first, firstFar := f.stream()
		second, secondFar := (&fixture{T: t, ac: ac, bc: bc}).stream()
		start := time.Now()
		for _, s := range []transport.Stream{first, second} {
			go s.Write(make([]byte, 1_000_000))
		}
		done := make(chan time.Duration)
		for _, s := range []transport.Stream{firstFar, secondFar} {
			go func() {
				io.CopyN(io.Discard, s, 1_000_000)
				done <- time.Since(start)
			}()
		}
		if x, y := <-done, <-done; x < 1990*ms || (y-2*time.Second).Abs() > 1 {
			t.Errorf("two streams took %v and %v, want both close to 2s", x, y)
		}

		go first.Write(make([]byte, 200_000))
		third, thirdFar := f.stream()
		start = time.Now()
		f.write(third, 10)
		f.read(thirdFar, 10)
		if got := time.Since(start); got > 5*ms {
			t.Errorf("a small message beside a long one took %v, want a few turns at most", got)
		}
	})
}

func TestJitter(t *testing.T) {
	arrivals := func(seed uint64) (at []time.Duration) {
		bubble(t, func(t *testing.T) {
			f := hosts(t, memory.NetworkConfig{Seed: seed, Link: memory.Link{Latency: 10 * ms, Jitter: 5 * ms}})
			as, bs := f.stream()
			for range 50 {
				start := time.Now()
				f.write(as, 3)
				f.read(bs, 3)
				at = append(at, time.Since(start))
			}
		})
		return at
	}
	one, again, other := arrivals(1), arrivals(1), arrivals(2)
	if lo, hi := slices.Min(one), slices.Max(one); lo < 10*ms || hi >= 15*ms || hi-lo < 2*ms {
		t.Errorf("delays from %v to %v, want them spread over 10ms to 15ms", lo, hi)
	}
	if !slices.Equal(one, again) {
		t.Errorf("two runs with the same seed differ: %v and %v", one, again)
	}
	if slices.Equal(one, other) {
		t.Errorf("two runs with different seeds are the same: %v", one)
	}
}

func TestJitterKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Jitter: 50 * ms, Loss: 0.2}})
		as, bs := f.stream()
		var want []byte
		for i := range 200 {
			want = append(want, byte(i))
			as.Write(want[i:])
			time.Sleep(ms)
		}
		as.CloseWrite()
		if got, err := io.ReadAll(bs); !slices.Equal(got, want) || err != nil {
			t.Errorf("ReadAll() = %v, %v, want %v", got, err, want)
		}
	})
}

func TestLoss(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{})
		as, bs := f.stream()
		f.net.SetLink("a", "b", memory.Link{Latency: 10 * ms, Loss: 0.25, Retransmit: 100 * ms})
		again := 0
		for range 400 {
			start := time.Now()
			f.write(as, 1)
			f.read(bs, 1)
			late := time.Since(start) - 10*ms
			if late%(100*ms) != 0 {
				t.Fatalf("a byte came %v late, want a multiple of 100ms", late)
			}
			again += int(late / (100 * ms))
		}
		if again < 90 || again > 180 { // 133 expected
			t.Errorf("400 pieces were sent %d times again, want about 133", again)
		}
	})
}

// TestSmallPiecesAreBounded has many one-byte writes on their way at once.
func TestSmallPiecesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: time.Hour}})
		as, bs := f.stream()
		as.SetWriteDeadline(time.Now().Add(time.Minute))
		n := 0
		for ; n < 1<<20; n++ {
			if _, err := as.Write([]byte{1}); err != nil {
				break
			}
			time.Sleep(time.Nanosecond)
		}
		if n < 1000 || n > 4000 {
			t.Errorf("%d one-byte writes are on their way, want about 2,000", n)
		}
		f.read(bs, n)
		f.alive("b", f.bc)
	})
}

// TestSlotsOverLink has the opener leave while its answer is on the way.
func TestSlotsOverLink(t *testing.T) {
	ends := map[string]func(far transport.Stream){
		"answer": func(far transport.Stream) { transport.WriteLast(far, make([]byte, 1000)); far.Close() },
		"reset":  func(far transport.Stream) { far.Write(make([]byte, 1000)); far.Reset(1) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 10 * ms}})
				for range 1030 { // more than there are slots
					near, far := f.stream()
					end(far)
					near.Close()
					time.Sleep(20 * ms)
				}
				if got := f.net.Stats(); got.Streams != 0 || got.Buffered != 0 {
					t.Errorf("Stats() = %+v, want no streams", got)
				}
			})
		})
	}
}

// TestSeenByResetOnly resets a stream on which nothing was written.
func TestSeenByResetOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := hosts(t, memory.NetworkConfig{Link: memory.Link{Latency: 10 * ms}})
		s, err := f.ac.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() = %v, want nil", err)
		}
		s.Reset(5)
		r, err := f.bc.AcceptStream(t.Context())
		if err != nil {
			t.Fatalf("AcceptStream() = %v, want nil", err)
		}
		var se *transport.StreamError
		if _, err := r.Read(make([]byte, 1)); !errors.As(err, &se) || se.Code != 5 || !se.Remote {
			t.Errorf("Read() = %v, want the reset", err)
		}
	})
}
