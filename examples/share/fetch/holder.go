package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/shareapi"
)

// A holder is somebody who offers the content.
type holder struct {
	id     kith.ID
	caller kith.Caller

	// Guarded by Fetch.mu.
	out     bool // it is not asked any more
	strikes int  // failures in a row
}

const (
	maxStrikes = 3
	basePause  = 250 * time.Millisecond // after a failure; doubles with each further one
)

// lookLoop finds holders and puts them to work. It ends with ctx; run waits for it.
func (f *Fetch) lookLoop(ctx context.Context) {
	for {
		for r := range kith.Gather(ctx, shareapi.Has, newcomers{f}, f.hash) {
			if r.Err == nil && ctx.Err() == nil {
				f.hire(ctx, r.ID)
			}
		}
		if !f.pause(ctx) {
			return
		}
	}
}

// newcomers are those of the group that are not asked for chunks yet, and may be.
type newcomers struct{ f *Fetch }

// Members implements [kith.Group].
func (g newcomers) Members(method string) []kith.Member {
	f := g.f
	all := f.cfg.Group.Members(method)
	f.mu.Lock()
	defer f.mu.Unlock()
	var some []kith.Member
	for _, m := range all {
		_, wrong := f.wrong[m.ID]
		if len(f.holders) < maxHolders && !wrong && f.holders[m.ID] == nil {
			some = append(some, m)
		}
	}
	return some
}

// hire puts a holder to work, if there is room.
func (f *Fetch) hire(ctx context.Context, id kith.ID) {
	m, ok := f.member(shareapi.GetChunk.Name(), id)
	if !ok {
		return
	}
	h := &holder{id: id, caller: m.Caller}
	f.mu.Lock()
	room := len(f.holders) < maxHolders && f.holders[id] == nil
	if room {
		f.holders[id] = h
	}
	f.mu.Unlock()
	if !room {
		return
	}
	f.cfg.Found(id)
	for range perHolder {
		f.workers.Go(func() { f.holderLoop(ctx, h) })
	}
}

// holderLoop asks a holder for one chunk after the other. It ends when the holder is out, or
// with ctx; run waits for it.
func (f *Fetch) holderLoop(ctx context.Context, h *holder) {
	for {
		j := f.take(ctx, h)
		if j == nil {
			return
		}
		p, err := f.ask(j, h)
		if err == nil {
			if err := f.partial.write(p, j.offset); err != nil {
				f.putBack(j)
				select {
				case f.over <- err:
				default:
				}
				return
			}
			f.done(j, h, int64(len(p)))
			continue
		}
		cancelled := j.ctx.Err() != nil // all is done, or another was faster
		f.putBack(j)
		if !cancelled && !f.failed(ctx, h, err) {
			return
		}
	}
}

// take returns a chunk to ask h for, nil when there will be none. It waits for one while others
// are busy with the last ones: they may fail.
func (f *Fetch) take(ctx context.Context, h *holder) *job {
	for {
		f.mu.Lock()
		if h.out || f.plan.left == 0 || ctx.Err() != nil {
			f.mu.Unlock()
			return nil
		}
		j := f.plan.take(h)
		changed := f.changed
		if j != nil {
			j.offset, j.length = f.outline.Span(j.index)
			j.ctx, j.cancel = context.WithCancel(ctx)
		}
		f.mu.Unlock()
		if j != nil {
			return j
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// ask fetches a chunk, and verifies it.
func (f *Fetch) ask(j *job, h *holder) ([]byte, error) {
	if err := f.pace.wait(j.ctx, j.length); err != nil {
		return nil, err
	}
	p, err := shareapi.GetChunk.Call(j.ctx, h.caller, shareapi.Chunk{Hash: f.hash, Index: j.index})
	if err == nil && !f.outline.Check(j.index, p) {
		err = ErrWrong
	}
	return p, err
}

// done takes note of a chunk that is written. Of two who fetched it, the first counts.
func (f *Fetch) done(j *job, h *holder, n int64) {
	f.mu.Lock()
	h.strikes = 0
	first := f.plan.done(j)
	if first {
		f.got[h.id] += n
	}
	f.wakeLocked()
	f.mu.Unlock()
	j.cancel()
	if first {
		f.advance()
	}
}

// putBack returns a chunk back that did not come.
func (f *Fetch) putBack(j *job) {
	f.mu.Lock()
	f.plan.putBack(j)
	f.wakeLocked()
	f.mu.Unlock()
	j.cancel()
}

func (f *Fetch) wakeLocked() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// failed judges a holder, and reports whether it is to be asked again, after a
// pause that it takes.
func (f *Fetch) failed(ctx context.Context, h *holder, err error) bool {
	f.mu.Lock()
	h.strikes++
	strikes, was := h.strikes, h.out
	wrong := errors.Is(err, ErrWrong)
	if wrong || strikes >= maxStrikes || errors.Is(err, shareapi.ErrNotFound) {
		h.out = true
		delete(f.holders, h.id) // it can come back, if it says that it has the content
		f.wakeLocked()
	}
	out := h.out
	f.mu.Unlock()
	switch {
	case wrong:
		f.shun(h.id)
	case out && !was:
		f.cfg.Lost(h.id, err)
	}
	if out {
		return false
	}
	t := time.NewTimer(basePause << (strikes - 1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
	return true
}
