package memory

import (
	"math"
	"math/rand/v2"
	"time"
)

// A Link says how a [Network] carries what one host sends to another. The zero
// Link is perfect: everything arrives at once, at no cost.
//
// The model has no packets. Each stream is a reliable ordered pipe of pieces,
// as over QUIC, and a lost piece holds up its own stream only. A stream's
// window counts what was written until it is read, so that a stream moves at
// most one window per Latency; see [Config.Window]. Room in the window, and a
// finished stream's place among [Config.MaxStreams], come back without delay.
// A negative field counts as zero.
type Link struct {
	// Latency is the time one way. Dial takes a round trip.
	Latency time.Duration
	// Jitter adds between zero and this much to the latency of each piece.
	// Pieces of one stream stay in order.
	Jitter time.Duration
	// Bandwidth is in bytes per second, shared in turns by all streams that
	// have something to send, a turn being about a millisecond's worth. If
	// zero, there is no limit.
	Bandwidth int64
	// Loss is the probability that a piece (a Write, or the part of one that
	// goes out in one turn) has to be sent again, which costs Retransmit each
	// time. From 1 on nearly nothing arrives in time.
	Loss float64
	// Retransmit is the delay of a lost piece. If zero, twice the Latency and
	// 25 ms more.
	Retransmit time.Duration
	// Refuse makes new dials fail at once with [ErrRefused], partition or
	// not. Without it they hang while nothing passes.
	Refuse bool
}

// maxResend bounds how often one piece is lost.
const maxResend = 16

// perfect reports whether l changes nothing on the way.
func (l *Link) perfect() bool {
	return l.Latency <= 0 && l.Jitter <= 0 && l.Bandwidth <= 0 && l.Loss <= 0
}

// delay draws the time that the next piece takes.
func (l *Link) delay(rng *rand.Rand) time.Duration {
	d := max(l.Latency, 0)
	if l.Jitter > 0 {
		d += time.Duration(rng.Int64N(int64(l.Jitter)))
	}
	if l.Loss > 0 {
		again := l.Retransmit
		if again <= 0 {
			again = 2*max(l.Latency, 0) + 25*time.Millisecond
		}
		for range maxResend {
			if rng.Float64() >= l.Loss {
				break
			}
			d += again
		}
	}
	return d
}

// quantum returns how many bytes a stream may send before it is the next one's
// turn: about a millisecond's worth.
func (l *Link) quantum() int {
	if l.Bandwidth <= 0 {
		return 1 << 30
	}
	return int(min(max(l.Bandwidth/1000, 1<<10), 64<<10))
}

// sendTime returns how long n bytes keep the line busy.
func (l *Link) sendTime(n int64) time.Duration {
	if l.Bandwidth <= 0 {
		return 0
	}
	return time.Duration(math.Round(float64(n) / float64(l.Bandwidth) * float64(time.Second)))
}
