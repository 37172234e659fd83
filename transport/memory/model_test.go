package memory_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/memory"
)

// A direction is a model of one direction of a stream.
type direction struct {
	data             []byte // written and not read
	fin, eofRead     bool
	writer, reader   bool // done, by Close or Reset
	aborted, stopped *transport.StreamError
	sent             byte // counts what was written, as its content
}

func (d *direction) write(n int) (int, error) {
	switch {
	case d.fin, d.writer:
		return 0, transport.ErrClosed
	case d.stopped != nil:
		return 0, d.stopped
	}
	for range n {
		d.data = append(d.data, d.sent)
		d.sent++
	}
	return n, nil
}

func (d *direction) read(p []byte) (int, error) {
	switch {
	case d.reader:
		return 0, transport.ErrClosed
	case d.aborted != nil:
		return 0, d.aborted
	case len(d.data) > 0:
		n := copy(p, d.data)
		d.data = d.data[n:]
		return n, nil
	case d.fin:
		d.eofRead = true
		return 0, io.EOF
	}
	return 0, os.ErrDeadlineExceeded
}

func (d *direction) closeWrite() error {
	if d.writer && !d.fin {
		return transport.ErrClosed
	}
	d.fin = d.fin || d.stopped == nil
	return nil
}

// finish models Close and Reset at the end that writes out and reads in.
func finish(out, in *direction, code kith.Code, reset bool) {
	if out.writer {
		return
	}
	e := &transport.StreamError{Code: code, Remote: true}
	if (reset || !out.fin) && out.stopped == nil {
		if !out.eofRead {
			out.aborted = e
		}
		out.data = nil
	}
	if !in.fin && in.aborted == nil {
		in.stopped = e
	}
	out.writer, in.reader = true, true
	in.data = nil
}

// TestModel does random things to both ends of a stream and compares.
func TestModel(t *testing.T) {
	dialed, accepted := connect(t, memory.Config{})
	for seed := range uint64(2000) {
		opener, other := dialed, accepted
		if seed%2 == 1 {
			opener, other = other, opener
		}
		if log, err := runModel(t, opener, other, rand.New(rand.NewPCG(seed, 0))); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, log)
		}
	}
}

func runModel(t *testing.T, opener, other transport.Conn, rng *rand.Rand) (log string, err error) {
	var ends [2]transport.Stream
	if ends[0], err = opener.OpenStream(t.Context()); err != nil {
		return "", err
	}
	if _, err := ends[0].Write(nil); err != nil {
		return "", err
	}
	ends[0].Write([]byte{0})
	if ends[1], err = other.AcceptStream(t.Context()); err != nil {
		return "", err
	}
	var dirs [2]direction // dirs[i] is what ends[i] writes
	dirs[0] = direction{data: []byte{0}, sent: 1}
	defer ends[0].Close()
	defer ends[1].Close()
	for range 5 + rng.IntN(40) {
		i := rng.IntN(2)
		s, out, in := ends[i], &dirs[i], &dirs[1-i]
		step, err := modelStep(s, out, in, rng)
		log += fmt.Sprintf("end %d: %s\n", i, step)
		if err != nil {
			return log, err
		}
	}
	return log, nil
}

func modelStep(s transport.Stream, out, in *direction, rng *rand.Rand) (step string, err error) {
	past := time.Now().Add(-time.Second)
	switch op := rng.IntN(40); {
	case op < 16:
		n := 1 + rng.IntN(3000)
		p := make([]byte, n)
		for i := range p {
			p[i] = out.sent + byte(i)
		}
		got, gotErr := s.Write(p)
		want, wantErr := out.write(n)
		return fmt.Sprintf("Write(%d bytes)", n), diff(got, want, gotErr, wantErr)
	case op < 32:
		n := 1 + rng.IntN(3000)
		got, want := make([]byte, n), make([]byte, n)
		k, wantErr := in.read(want)
		if wantErr == os.ErrDeadlineExceeded {
			s.SetReadDeadline(past)
			defer s.SetReadDeadline(time.Time{})
		}
		gotN, gotErr := s.Read(got)
		if !bytes.Equal(got[:gotN], want[:k]) && gotN == k {
			return "", fmt.Errorf("Read() = %v, want %v", got[:gotN], want[:k])
		}
		return fmt.Sprintf("Read(%d bytes)", n), diff(gotN, k, gotErr, wantErr)
	case op < 34:
		return "CloseWrite", diff(0, 0, s.CloseWrite(), out.closeWrite())
	case op < 35:
		n := rng.IntN(100)
		p := make([]byte, n)
		for i := range p {
			p[i] = out.sent + byte(i)
		}
		wantErr := error(nil)
		if n > 0 {
			_, wantErr = out.write(n)
		}
		if wantErr == nil {
			wantErr = out.closeWrite()
		}
		return fmt.Sprintf("WriteLast(%d bytes)", n), diff(0, 0, transport.WriteLast(s, p), wantErr)
	case op < 37:
		s.SetWriteDeadline(past)
		_, gotErr := s.Write([]byte{out.sent})
		_, wantErr := (&direction{fin: out.fin, writer: out.writer, stopped: out.stopped}).write(1)
		if wantErr == nil {
			wantErr = os.ErrDeadlineExceeded
		}
		s.SetWriteDeadline(time.Time{})
		return "Write, too late", diff(0, 0, gotErr, wantErr)
	case op < 39:
		finish(out, in, kith.Canceled, false)
		return "Close", s.Close()
	default:
		code := kith.Code(rng.IntN(30))
		finish(out, in, code, true)
		s.Reset(code)
		return fmt.Sprintf("Reset(%v)", code), nil
	}
}

// diff compares results; errors are the same if one matches the other, or if
// they are equal StreamErrors.
func diff(got, want int, gotErr, wantErr error) error {
	var g, w *transport.StreamError
	same := errors.Is(gotErr, wantErr)
	if errors.As(wantErr, &w) {
		same = errors.As(gotErr, &g) && *g == *w
	}
	if got != want || !same {
		return fmt.Errorf("got %d, %v, want %d, %v", got, gotErr, want, wantErr)
	}
	return nil
}

// TestTransfersUnderFaults moves data over a network to which random things
// happen, none of which may lose, change or reorder a byte.
func TestTransfersUnderFaults(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) { transfersUnderFaults(t, seed) })
		})
	}
}

func transfersUnderFaults(t *testing.T, seed uint64) {
	f := hosts(t, memory.NetworkConfig{Seed: seed})
	const streams, size = 4, 300_000
	done := make(chan error)
	for i := range uint64(streams) {
		from, to := f.ac, f.bc
		if i%2 == 1 {
			from, to = to, from
		}
		s, err := from.OpenStream(t.Context())
		if err != nil {
			t.Fatalf("OpenStream() = %v, want nil", err)
		}
		s.Write([]byte{0})
		r, err := to.AcceptStream(t.Context())
		if err != nil {
			t.Fatalf("AcceptStream() = %v, want nil", err)
		}
		go func() { done <- sendAtRandom(s, size, rand.New(rand.NewPCG(seed, i))) }()
		go func() { done <- receiveAtRandom(r, 1+size, rand.New(rand.NewPCG(seed, 100+i))) }()
	}
	stop := make(chan struct{})
	calm := make(chan struct{})
	go func() {
		defer close(calm)
		faults(f.net, stop, rand.New(rand.NewPCG(seed, 1000)))
	}()
	for range 2 * streams {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(stop)
	<-calm
}

func faults(n *memory.Network, stop <-chan struct{}, rng *rand.Rand) {
	defer n.Heal("a", "b")
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.IntN(100)) * ms):
		}
		switch rng.IntN(8) {
		case 0:
			n.Partition("a", "b")
		case 1, 2:
			n.Heal("a", "b")
		case 3:
			n.Stall("a", "b")
		case 4, 5:
			n.Unstall("a", "b")
		case 6:
			n.SetOneWay("a", "b", memory.Link{})
		default:
			n.SetLink("a", "b", memory.Link{
				Latency: time.Duration(rng.IntN(20)) * ms, Jitter: time.Duration(rng.IntN(20)) * ms,
				Bandwidth: int64(rng.IntN(3)) << 20, Loss: rng.Float64() / 4,
			})
		}
	}
}

func sendAtRandom(s transport.Stream, size int, rng *rand.Rand) error {
	defer s.Close()
	sent := byte(1)
	for left := size; left > 0; {
		p := make([]byte, min(left, 1+rng.IntN(1<<rng.IntN(18))))
		for i := range p {
			p[i] = sent + byte(i)
		}
		s.SetWriteDeadline(time.Now().Add(time.Duration(rng.IntN(30)) * ms))
		n, err := s.Write(p)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("Write() = %w", err)
		}
		sent += byte(n)
		left -= n
	}
	return s.CloseWrite()
}

func receiveAtRandom(s transport.Stream, size int, rng *rand.Rand) error {
	defer s.Close()
	want := byte(0)
	for got := 0; ; {
		p := make([]byte, 1+rng.IntN(1<<rng.IntN(18)))
		s.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(30)) * ms))
		n, err := s.Read(p)
		for _, b := range p[:n] {
			if b != want {
				return fmt.Errorf("byte %d is %d, want %d", got, b, want)
			}
			want++
			got++
		}
		switch {
		case err == io.EOF && got == size:
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("Read() = %w after %d bytes of %d", err, got, size)
		}
	}
}
