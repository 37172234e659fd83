package session

import "time"

// places says who may have one of the places among the Workers' limit when they run
// short. A session with more than an eighth of them leaves an eighth. One with three
// eighths of all places, or as many as all others had at their peak, in the last second or
// two, leaves them those too: who had up to half can have them again. So one that calls and
// never ends shuts out nobody, and has all but an eighth where nobody else calls. It is
// guarded by Workers.mu.
type places struct {
	reserve int64 // an eighth of the limit; 0 if all sessions are one and the same other's
	base    time.Time
	all     peak // of the places taken by anybody
}

// A peak is the most that a number was in this epoch and in the one before.
type peak struct{ epoch, now, old int64 }

// epochTime is how long an epoch is.
const epochTime = time.Second

func (p *peak) note(epoch, n int64) {
	switch {
	case p.epoch == epoch:
	case p.epoch == epoch-1:
		p.old, p.now = p.now, 0
	default:
		p.old, p.now = 0, 0
	}
	p.epoch = epoch
	p.now = max(p.now, n)
}

// stale reports whether the peak is of long ago.
func (p *peak) stale(epoch int64) bool { return p.epoch < epoch-1 }

func (p *peak) max() int64 { return max(p.now, p.old) }

// allows reports whether s may have one more place. There are left ones left, and busy
// ones taken, of them own by s.
func (p *places) allows(s *Session, left, busy, own int64) bool {
	if left <= 0 {
		return false
	}
	if p.reserve == 0 || busy < p.reserve {
		return true
	}
	// Epochs count from two, so that what was never noted is stale.
	epoch := int64(time.Since(p.base)/epochTime) + 2
	others := &s.turn.others
	p.all.note(epoch, 0)
	if others.stale(epoch) {
		// The peak of all is that of the others, where s is new; else what it still has
		// may be in it.
		others.note(epoch, p.all.max()-max(own-p.reserve, 0))
	}
	others.note(epoch, busy-own)
	keep := p.reserve // of those left
	if own >= min(others.max(), (left+busy)/2-p.reserve) {
		keep += others.max() - (busy - own)
	}
	if own >= p.reserve && left <= keep {
		return false
	}
	p.all.note(epoch, busy+1)
	return true
}
