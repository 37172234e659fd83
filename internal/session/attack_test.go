package session_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

func pingFrame(n int) []byte {
	return laneFrame(wire.FramePing, binary.BigEndian.AppendUint64(nil, uint64(n))...)
}

// A peer that pings as fast as it can, and reads no answer, is thrown out at
// the first ping that is too much.
func TestAttackPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 1_000_000
		_, p := rawPair(t, false, echoHandlers())
		start := time.Now()
		var batch []byte
		sent := 0
		for err := error(nil); err == nil && sent < total; {
			for batch = batch[:0]; len(batch) < 32<<10; sent++ {
				batch = append(batch, pingFrame(sent)...)
			}
			_, err = p.lane.Write(batch)
		}
		p.wantKilled("pings more often")
		if took := time.Since(start); sent >= total || took > 10*time.Second {
			t.Errorf("thrown out after %d pings and %v, want it at once", sent, took)
		}
	})
}

// Frames that say nothing are skipped, and whoever sends more of them than anybody needs is
// read slowly, whatever the transport.
func TestAttackSkippedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total, pace = 100_000, 1024 // frames between rests
		_, p := rawPair(t, false, echoHandlers())
		for name, frame := range map[string][]byte{
			"of a later version":         laneFrame(200),
			"cancel of no call":          laneFrame(wire.FrameCancel, 1),
			"cancel of no call's stream": laneFrame(wire.FrameCancelStream, 1),
		} {
			begin := time.Now()
			p.write(bytes.Repeat(frame, total))
			p.write(pingFrame(1))
			for pong := false; !pong; {
				kind, _ := p.next()
				pong = kind == wire.FramePong
			}
			if took, want := time.Since(begin), (total/pace-1)*100*time.Microsecond; took < want {
				t.Errorf("%d frames %s are read in %v, want at least %v", total, name, took, want)
			}
		}
	})
}

// Whoever goes on with calls that are refused is read slowly. A few that come together, as of a
// client that meets a full server, are refused at once.
func TestAttackRefusedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const few, many, pace = 31, 4096, 32 // refusals between rests
		_, p := rawPair(t, false, hanging(nil), func(c *session.Config) {
			c.Workers, c.MaxLaneCalls = session.NewWorkers(0), wire.MaxLaneCalls
		})
		refused := func(n int) time.Duration {
			begin := time.Now()
			p.write(bytes.Repeat(callFrame(1, &hang.Method), n))
			for range n {
				kind, body := p.next()
				_, rest, _ := wire.SplitNumber(body)
				if f, err := wire.ParseFail(rest); kind != wire.FrameFail || err != nil || !kith.Unprocessed(f.Err()) || f.Err().Reason() != "too_many_calls" {
					t.Fatalf("answered by frame %d: %v, %v, want an unprocessed refusal", kind, f.Err(), err)
				}
			}
			return time.Since(begin)
		}
		if took := refused(few); took != 0 {
			t.Errorf("%d calls are refused in %v, want it at once", few, took)
		}
		if took, want := refused(many), (many/pace-2)*100*time.Microsecond; took < want {
			t.Errorf("%d calls are refused in %v, want at least %v", many, took, want)
		}
		time.Sleep(time.Second)
		if took := refused(few); took != 0 {
			t.Errorf("a second later %d calls are refused in %v, want it at once", few, took)
		}
	})
}

// One that keeps to the rate, for days, is owed one answer at a time: where it
// reads none, none is kept but the last and what fits the stream.
func TestAttackPingsAtTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total, window = 100_000, 256 << 10
		_, p := rawPair(t, false, echoHandlers())
		for i := range total {
			time.Sleep(time.Second)
			if _, err := p.lane.Write(pingFrame(i)); err != nil {
				t.Fatalf("after %d pings: %v", i, err)
			}
		}
		synctest.Wait()
		answers := make(chan int64)
		go func() {
			n, _ := io.Copy(io.Discard, p.lane)
			answers <- n
		}()
		synctest.Wait()
		if e := transport.ConnErr(p.conn.Context()); e != nil {
			t.Errorf("the connection ended with %v", e)
		}
		_ = p.conn.CloseWithError(kith.OK, "")
		n := <-answers
		t.Logf("%d bytes of answers waited after %d pings", n, total)
		if n > window+64<<10 {
			t.Errorf("%d bytes of answers waited, want what fits the stream, and at most 64 KiB", n)
		}
	})
}

// A thousand connections announce the longest frame of the lane, and send
// nothing of it.
func TestAttackLengths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var peers []*rawPeer
		for range 1000 {
			_, p := rawPair(t, false, echoHandlers())
			peers = append(peers, p)
		}
		heap := func() int64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		for _, p := range peers {
			p.write([]byte{byte(wire.FrameCall), 0, 0x40, 0})
		}
		grown := heap() - before
		t.Logf("heap +%d KiB", grown>>10)
		if grown > 4<<20 {
			t.Errorf("the heap grew by %d bytes, want less than 4 MiB", grown)
		}
		runtime.KeepAlive(peers)
	})
}

// As many streams as there may be announce a large message, and send a byte of it.
func TestAttackStreamLengths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h kith.Handlers
		drink := kith.ClientStream[[]byte, int]("test/Drink")
		drink.Handle(&h, func(_ context.Context, in iter.Seq2[[]byte, error]) (int, error) {
			for _, err := range in {
				return 0, err
			}
			return 0, nil
		})
		const streams, announced = 1000, 60_000
		s, p := rawPair(t, false, &h)
		open := func(n uint64) {
			st, err := p.conn.OpenStream(t.Context())
			if err != nil {
				t.Fatalf("OpenStream %d = %v", n, err)
			}
			head := binary.AppendUvarint(wire.AppendStream(nil, wire.StreamOpen), n)
			head = wire.EndStream(wire.AppendHead(head, drink.Kind(), drink.Name(), "raw", 0, nil), 0)
			message := wire.EndStream(append(wire.AppendStream(nil, wire.StreamMessage), make([]byte, announced)...), 0)
			if _, err := st.Write(append(head, message[:wire.StreamHeader+1]...)); err != nil {
				t.Fatalf("Write of stream %d = %v", n, err)
			}
		}
		heap := func() int64 {
			synctest.Wait()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before := heap()
		for n := range uint64(streams) {
			open(n)
		}
		grown := heap() - before
		t.Logf("heap +%d KiB", grown>>10)
		if grown > 16<<20 {
			t.Errorf("the heap grew by %d bytes, want less than 16 MiB", grown)
		}
		runtime.KeepAlive(s)
	})
}

// openFrame is the OPEN of call number 0 of test/Greet, with encoded metadata.
func openFrame(md []byte) []byte {
	head := wire.AppendHead([]byte{0}, kith.KindUnary, "test/Greet", "json", 0, md)
	return wire.EndStream(append(wire.AppendStream(nil, wire.StreamOpen), head...), 0)
}

// manyKeys is metadata of n keys.
func manyKeys(n int) (md []byte) {
	for i := range n {
		md = append(md, fmt.Appendf(nil, "\x04k%03d\x01v", i)...)
	}
	return md
}

// Metadata without end, or of too much, reaches no handler: it costs its call,
// or the connection, and at most one frame of memory.
func TestAttackMetadata(t *testing.T) {
	huge := []byte("\x01k\x80\x80\x01" + strings.Repeat("v", 16<<10)) // 16 KiB and 5 bytes
	for _, tc := range []struct {
		name   string
		lane   []byte
		stream []byte
		killed string // how the connection ends; empty if it goes on
	}{
		{"lane frame over the limit", []byte{byte(wire.FrameCall), 0, 0x40, 1}, nil, "lane"},
		{"many keys on the lane", laneFrame(wire.FrameCall, append(wire.AppendHead([]byte{1}, kith.KindUnary, "test/Greet", "json", 0, manyKeys(257)), `""`...)...), nil, ""},
		{"too long on a stream", nil, openFrame(huge), "stream"},
		{"many keys on a stream", nil, openFrame(manyKeys(257)), ""},
		{"frame over the limit", nil, append(wire.AppendStream(nil, wire.StreamOpen)[:1], 0, 0, 0x80, 1), ""},
		{"frame without end", nil, []byte{byte(wire.StreamOpen), 0xff, 0xff, 0xff, 0xff, 0, 0x31}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ran atomic.Int64
				var h kith.Handlers
				greet.Handle(&h, func(_ context.Context, s string) (string, error) {
					ran.Add(1)
					return s, nil
				})
				_, p := rawPair(t, false, &h)
				if tc.lane != nil {
					p.write(tc.lane)
				}
				if tc.stream != nil {
					st, err := p.conn.OpenStream(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					defer st.Close()
					_, err = st.Write(tc.stream)
					for more := make([]byte, 64<<10); err == nil && tc.killed == "" && tc.stream[1] == 0xff; {
						_, err = st.Write(more) // until it is told to stop
					}
				}
				if tc.killed != "" {
					p.wantKilled(tc.killed)
				} else {
					synctest.Wait()
					p.write(pingFrame(7))
					typ, _ := p.next()
					if tc.lane != nil { // the refusal comes first
						if typ != wire.FrameFail {
							t.Errorf("answered by frame %d, want a refusal", typ)
						}
						typ, _ = p.next()
					}
					if typ != wire.FramePong {
						t.Errorf("a ping after it got frame %d, want its answer", typ)
					}
				}
				if n := ran.Load(); n != 0 {
					t.Errorf("the handler ran %d times", n)
				}
			})
		})
	}
}
