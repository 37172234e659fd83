package flood_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// The attacks on the multiplexer.
var muxAttacks = []attack{
	{name: "open and reset", over: overMux, run: withMux(openReset)},
	{name: "reset only", over: overMux, run: withMux(resetOnly)},
	{name: "unread pings", over: overAll, run: pings},
	{name: "settings without effect", over: overMux, run: unreadMux(uselessSettings)},
	{name: "settings of least effect", over: overMux, run: unreadMux(creepingSettings)},
	{name: "huge lengths", over: overMux, run: unreadMux(hugeLengths)},
	{name: "unknown frames", over: overMux, run: unreadMux(unknownFrames)},
	{name: "empty frames", over: overMux, run: unreadMux(emptyFrames)},
	{name: "skipped frames", over: overAll, run: skippedFrames},
	{name: "metadata", over: overAll, run: metadata},
	{name: "dribbled body", over: overMux, run: withMux(dribble)},
	{name: "stopped reading", over: overAll, run: stoppedReading},
	{name: "slow reader", over: overMux, run: slowReader},
	{name: "silent connections", over: overMux, run: silent},
	{name: "half TLS handshakes", over: overTLS, run: halfTLS},
}

// unreadMux makes a run of a flood over one connection that is not read.
func unreadMux(flood func(ctx context.Context, l *muxLink) error) func(context.Context, *attacker) error {
	return func(ctx context.Context, x *attacker) error {
		l, err := x.dialMux(ctx)
		if err != nil {
			return err
		}
		defer l.close()
		return flood(ctx, l)
	}
}

// withMux makes a run of a flood over one connection that is read.
func withMux(flood func(ctx context.Context, l *muxLink) error) func(context.Context, *attacker) error {
	return unreadMux(func(ctx context.Context, l *muxLink) error {
		var loops sync.WaitGroup
		loops.Go(func() { _ = l.readLane(nil) })
		defer loops.Wait()
		defer l.close()
		return flood(ctx, l)
	})
}

// repeat sends frames until they can be sent no more.
func (l *muxLink) repeat(p []byte, n int) error {
	for {
		if err := l.write(p, n); err != nil {
			return err
		}
	}
}

// streamOpen is the first frame of the n-th stream call.
func streamOpen(number uint64, kind kith.Kind, method string) []byte {
	p := binary.AppendUvarint(wire.AppendStream(nil, wire.StreamOpen), number)
	return wire.EndStream(wire.AppendHead(p, kind, method, "raw", 0, nil), 0)
}

// openReset opens calls and resets them in the same breath.
func openReset(_ context.Context, l *muxLink) error {
	var p []byte
	for {
		first, count := l.reserve(64)
		if count == 0 {
			return net.ErrClosed
		}
		p = p[:0]
		for n := first; n < first+count; n++ {
			p = appendMux(p, muxData|muxOpen, streamID(n), streamOpen(n, kith.KindUnary, hang.Name())...)
			p = appendMuxCode(p, muxReset, streamID(n), kith.Canceled)
			p = appendMuxCode(p, muxStop, streamID(n), kith.Canceled)
		}
		if err := l.write(p, 3*int(count)); err != nil {
			return err
		}
	}
}

// resetOnly opens streams by the frame that resets them.
func resetOnly(_ context.Context, l *muxLink) error {
	var p []byte
	for {
		first, count := l.reserve(512)
		if count == 0 {
			return net.ErrClosed
		}
		p = p[:0]
		for n := first; n < first+count; n++ {
			p = appendMuxCode(p, muxReset|muxOpen, streamID(n), kith.Canceled)
		}
		if err := l.write(p, int(count)); err != nil {
			return err
		}
	}
}

// pings pings as fast as it can and reads no answer.
func pings(ctx context.Context, x *attacker) error {
	l, err := x.connect(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	var p []byte
	for range 512 {
		p = append(p, byte(wire.FramePing), 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8)
	}
	for {
		if err := l.sendLane(p, 512); err != nil {
			return err
		}
	}
}

// uselessSettings raises limits to what they are, until that is too much.
func uselessSettings(_ context.Context, l *muxLink) error {
	var p []byte
	for range 256 {
		p = appendMuxLimit(p, muxStreams, 0, 16)
		p = appendMuxLimit(p, muxWindow, 0, muxConnCredit)
	}
	return l.repeat(p, 512)
}

// creepingSettings raises limits by the least that counts as an effect.
func creepingSettings(_ context.Context, l *muxLink) error {
	streams, window := uint64(16), uint64(muxConnCredit)
	for {
		var p []byte
		for range 256 {
			streams++
			window += 1024
			p = appendMuxLimit(p, muxStreams, 0, streams)
			p = appendMuxLimit(p, muxWindow, 0, window)
		}
		if err := l.write(p, 512); err != nil {
			return err
		}
	}
}

// hugeLengths opens streams whose first frame announces 4 GiB, and then sends a
// frame of the lane that announces 16 MiB.
func hugeLengths(_ context.Context, l *muxLink) error {
	var p []byte
	for n := range uint64(muxStreamsNow) {
		p = appendMux(p, muxData|muxOpen, streamID(n), byte(wire.StreamOpen), 0xff, 0xff, 0xff, 0xff)
	}
	p = appendMux(p, muxData, 0, byte(wire.FrameCall), 0xff, 0xff, 0xff)
	p = appendMuxHeader(p, muxData, 1, 0xffffff)
	return l.untilClosed(p, muxStreamsNow+2)
}

// unknownFrames sends a frame of a kind that there is none of.
func unknownFrames(_ context.Context, l *muxLink) error {
	return l.untilClosed(appendMux(nil, byte(l.x.runs.Load())|0x80, 7), 1)
}

// untilClosed sends what the server closes the link for, and waits for that.
func (l *muxLink) untilClosed(p []byte, n int) error {
	if err := l.write(p, n); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, l.in)
	return err
}

// emptyFrames sends data without data on a stream, until that is too much.
func emptyFrames(_ context.Context, l *muxLink) error {
	p := appendMux(nil, muxData|muxOpen, streamID(0))
	for range 512 {
		p = appendMux(p, muxData, streamID(0))
	}
	if err := l.write(p, 513); err != nil {
		return err
	}
	return l.repeat(p[muxHeader:], 512)
}

// skippedFrames sends what the server has to skip: frames of a later version,
// and cancels of calls that are not there.
func skippedFrames(ctx context.Context, x *attacker) error {
	l, err := x.connect(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	var p []byte
	for n := range uint64(512) {
		p = append(p, 200, 0, 0, 0)
		p = wire.AppendNumber(p, wire.FrameCancel, n)
		p = wire.AppendNumber(p, wire.FrameCancelStream, n)
	}
	for {
		if err := l.sendLane(p, 3*512); err != nil {
			return err
		}
	}
}

// metadata makes calls with as much metadata as there may be.
func metadata(ctx context.Context, x *attacker) error {
	md := make(kith.Metadata)
	for n := range wire.MaxMetadataKeys {
		md[fmt.Sprintf("the-number-of-this-key-is-%05d", n)] = "a value of some length"
	}
	enc, err := wire.AppendMetadata(nil, md)
	if err != nil {
		panic(err)
	}
	head := wire.AppendHead(nil, kith.KindUnary, echo.Name(), "raw", 0, enc)
	return x.calls(ctx, head, nil)
}

// dribble sends messages a byte at a time, each in a frame of its own.
func dribble(_ context.Context, l *muxLink) error {
	first, count := l.reserve(muxStreamsNow)
	var p []byte
	for n := first; n < first+count; n++ {
		p = appendMux(p, muxData|muxOpen, streamID(n), streamOpen(n, kith.KindClientStream, gulp.Name())...)
	}
	if err := l.write(p, int(count)); err != nil {
		return err
	}
	const size = 1 << 20 // of a message
	message := []byte{byte(wire.StreamMessage), 0, byte(size >> 16), 0, 0}
	spent := uint64(count) * 128 // no less than what the opening cost
	for at, each := 0, uint64(128); ; {
		const batch = 64
		if !l.await(first, count, each, spent, batch) {
			return net.ErrClosed
		}
		p = p[:0]
		for range batch {
			b := byte(0)
			if i := at % (len(message) + size); i < len(message) {
				b = message[i]
			}
			at++
			for n := first; n < first+count; n++ {
				p = appendMux(p, muxData, streamID(n), b)
			}
			each += 65
			spent += 65 * count
		}
		if err := l.write(p, batch*int(count)); err != nil {
			return err
		}
	}
}

// await waits until batch bytes may be sent on each of some streams.
func (l *muxLink) await(first, count, each, spent uint64, batch uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.ended {
			return false
		}
		ok := spent+batch*65*count <= l.credit
		for n := first; n < first+count; n++ {
			ok = ok && each+batch*65 <= max(l.granted[streamID(n)], muxCredit)
		}
		if ok {
			return true
		}
		l.changed.Wait()
	}
}

// stoppedReading asks for more than any window takes, on many streams and on the
// lane, and does not read. It connects again when that is done.
func stoppedReading(ctx context.Context, x *attacker) error {
	l, err := x.connect(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	for n := range uint64(muxStreamsNow) {
		if err := l.openStream(ctx, streamOpen(n, kith.KindServerStream, pour.Name())); err != nil {
			return err
		}
	}
	p := make([]byte, 8<<10)
	for n := range uint64(512) {
		call := callFrame(nil, n, echoHead, p)
		if err := l.sendLane(call, 1); err != nil {
			return err
		}
	}
	return sleep(ctx, 50*time.Millisecond)
}

// slowReader does the same and reads, but slowly.
func slowReader(ctx context.Context, x *attacker) error {
	l, err := x.dialMux(ctx)
	if err != nil {
		return err
	}
	defer l.close()
	for n := range uint64(muxStreamsNow) {
		if err := l.openStream(ctx, streamOpen(n, kith.KindServerStream, pour.Name())); err != nil {
			return err
		}
	}
	p := make([]byte, 4<<10)
	for {
		if _, err := l.conn.Read(p); err != nil {
			return err
		}
		x.sent(1, 0)
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// silentConns is how many connections an attacker holds that say nothing.
const silentConns = 256

// silent connects as fast as it can, and says nothing.
func silent(ctx context.Context, x *attacker) error { return x.pile(ctx, nil) }

// halfTLS connects as fast as it can, and says the first words of a handshake,
// always the same. It answers nothing, so that only the server computes.
func halfTLS(ctx context.Context, x *attacker) error {
	x.prepared.Do(func() { x.initials, x.unready = x.recordTLS() })
	if x.unready != nil {
		return x.unready
	}
	return x.pile(ctx, x.initials[0])
}

// pile makes connections, says p on each, and ends the oldest when it has many.
func (x *attacker) pile(ctx context.Context, p []byte) error {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for ctx.Err() == nil {
		c, err := x.dialRaw(ctx)
		if err != nil {
			return err
		}
		if conns = append(conns, c); len(conns) > silentConns {
			_ = conns[0].Close()
			conns = conns[1:]
		}
		if len(p) > 0 {
			_, _ = c.Write(p)
		}
		x.sent(1, len(p))
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
