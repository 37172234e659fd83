package fetch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A plan says which chunks are missing, and who was asked for which. Chunks are asked for
// in their order; when all are asked for, whoever has nothing to do asks for
// what others are slowest with, so that those who died hold nothing up.
// It is guarded by Fetch.mu.
type plan struct {
	have  []bool
	next  int    // all before it are there, or asked for, or in again
	again []int  // asked for in vain
	open  []*job // in the order in which they were begun
	left  int    // how many are missing
}

// A job is a chunk that somebody was asked for.
type job struct {
	index  int
	holder *holder
	offset int64
	length int
	ctx    context.Context
	cancel context.CancelFunc
}

func newPlan(chunks int) *plan { return &plan{have: make([]bool, chunks), left: chunks} }

// found says that a chunk is there already.
func (p *plan) found(i int) {
	p.have[i] = true
	p.left--
}

// take returns a job for h, nil if there is none now.
func (p *plan) take(h *holder) *job {
	i := p.missing(h)
	if i < 0 {
		return nil
	}
	j := &job{index: i, holder: h}
	p.open = append(p.open, j)
	return j
}

func (p *plan) missing(h *holder) int {
	if n := len(p.again); n > 0 {
		i := p.again[n-1]
		p.again = p.again[:n-1]
		return i
	}
	for ; p.next < len(p.have); p.next++ {
		if !p.have[p.next] {
			p.next++
			return p.next - 1
		}
	}
	best, fewest := -1, 0
	for _, j := range p.open {
		asked, mine := p.asked(j.index, h)
		if !mine && !p.have[j.index] && (best < 0 || asked < fewest) {
			best, fewest = j.index, asked
		}
	}
	return best
}

// asked returns how many jobs there are for a chunk, and whether h has one.
func (p *plan) asked(i int, h *holder) (n int, mine bool) {
	for _, j := range p.open {
		if j.index == i {
			n++
			mine = mine || j.holder == h
		}
	}
	return n, mine
}

// done ends a job whose chunk is there, and others for the same. It reports
// whether the chunk is new.
func (p *plan) done(j *job) bool {
	p.close(j)
	if p.have[j.index] {
		return false
	}
	p.found(j.index)
	for _, other := range p.open {
		if other.index == j.index {
			other.cancel()
		}
	}
	return true
}

// putBack ends a job whose chunk did not come.
func (p *plan) putBack(j *job) {
	p.close(j)
	if asked, _ := p.asked(j.index, nil); asked == 0 && !p.have[j.index] {
		p.again = append(p.again, j.index)
	}
}

func (p *plan) close(j *job) {
	p.open = slices.DeleteFunc(p.open, func(o *job) bool { return o == j })
}

// A pace spreads what is asked for over time.
type pace struct {
	rate int64 // bytes a second; not positive for no limit

	mu   sync.Mutex
	next time.Time // guarded by mu
}

// wait waits for the turn of n bytes, or for the end of ctx.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return nil
	}
	p.mu.Lock()
	turn := p.next
	if now := time.Now(); turn.Before(now) {
		turn = now
	}
	p.next = turn.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	p.mu.Unlock()
	t := time.NewTimer(time.Until(turn))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
