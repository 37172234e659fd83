// Package fetch is the receiving half of examples/share: it fetches a content by its
// hash from all who offer it at once, a chunk here and a chunk there. It verifies each chunk,
// goes on with the others when one is lost, and with those who come later.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/examples/share/shareapi"
)

// A Config says how to fetch. Group must be set.
type Config struct {
	// Group are those who may offer the content: a node, say.
	Group kith.Group

	// Changed has a value when the Group may have changed. If nil, it is only asked
	// again every two seconds.
	Changed <-chan struct{}

	// Patience is how long to look for a first holder, and then how long to go on without
	// a new chunk. If zero, 30 seconds. If negative, for ever.
	Patience time.Duration

	// Rate is how many bytes to ask for in a second. If zero or negative, there is no limit.
	Rate int64

	// Progress is told how many bytes are there. One goroutine calls it. If nil,
	// nobody is told.
	Progress func(have, size int64)

	// Found is told of holders that are asked for chunks from now on, Lost of those that
	// failed, and why. They may be called by several goroutines at once. If nil, nobody is
	// told.
	Found func(id kith.ID)
	Lost  func(id kith.ID, err error)
}

// Errors of this package.
var (
	// ErrNobody says that the Patience is over: nobody offers the content, or
	// nobody any more.
	ErrNobody = errors.New("nobody offers it")
	// ErrWrong says that a holder sent what is not what was asked for. It is not asked again.
	ErrWrong = errors.New("what it sent has another hash")
)

const (
	maxHolders = 8 // that are asked at a time
	perHolder  = 2 // chunks asked of one at a time
	lookEvery  = 2 * time.Second
)

// A Fetch is one content that is being fetched. Get one from [Find], then call Save
// once.
type Fetch struct {
	cfg     Config
	hash    shareapi.Hash
	outline *shareapi.Outline
	file    shareapi.File // as the first holder calls it
	pace    pace

	advanced chan struct{} // cap 1: there is a new chunk
	over     chan error    // cap 1: why Save cannot go on
	workers  sync.WaitGroup
	partial  *partial

	mu      sync.Mutex
	plan    *plan                // guarded by mu
	holders map[kith.ID]*holder  // guarded by mu; those that are asked
	wrong   map[kith.ID]struct{} // guarded by mu; never to be asked again
	got     map[kith.ID]int64    // guarded by mu; bytes
	changed chan struct{}        // guarded by mu; closed when there may be a chunk to ask for
}

// Find looks for a holder of a content, and returns when one has described it. The
// end of ctx ends it.
func Find(ctx context.Context, cfg Config, hash shareapi.Hash) (*Fetch, error) {
	cfg.Patience = cmp.Or(cfg.Patience, 30*time.Second)
	if cfg.Progress == nil {
		cfg.Progress = func(int64, int64) {}
	}
	if cfg.Found == nil {
		cfg.Found = func(kith.ID) {}
	}
	if cfg.Lost == nil {
		cfg.Lost = func(kith.ID, error) {}
	}
	f := &Fetch{
		cfg: cfg, hash: hash, pace: pace{rate: cfg.Rate},
		advanced: make(chan struct{}, 1), over: make(chan error, 1), changed: make(chan struct{}),
		holders: make(map[kith.ID]*holder), wrong: make(map[kith.ID]struct{}), got: make(map[kith.ID]int64),
	}
	limit, cancel := ctx, context.CancelFunc(func() {})
	if cfg.Patience > 0 {
		limit, cancel = context.WithTimeout(ctx, cfg.Patience)
	}
	defer cancel()
	for !f.describe(limit) {
		if !f.pause(limit) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, ErrNobody
		}
	}
	return f, nil
}

// File returns the content's hash and size, and what a holder calls it: a name
// from outside.
func (f *Fetch) File() shareapi.File { return f.file }

// pause waits for a change of the group, and reports false if ctx ends.
func (f *Fetch) pause(ctx context.Context) bool {
	t := time.NewTimer(lookEvery)
	defer t.Stop()
	select {
	case <-f.cfg.Changed:
	case <-t.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// describe asks all who are there, until one has described the content.
func (f *Fetch) describe(ctx context.Context) bool {
	for r := range kith.Gather(ctx, shareapi.Has, f.cfg.Group, f.hash) {
		if r.Err != nil || f.shunned(r.ID) {
			continue
		}
		m, ok := f.member(shareapi.GetOutline.Name(), r.ID)
		if !ok {
			continue
		}
		p, err := shareapi.GetOutline.Call(ctx, m.Caller, f.hash)
		if err != nil {
			continue
		}
		o, err := shareapi.ParseOutline(p)
		if err != nil || o.Hash() != f.hash || !r.Resp.Check() {
			f.shun(r.ID)
			continue
		}
		f.outline, f.plan = o, newPlan(o.Chunks())
		f.file = shareapi.File{Hash: f.hash, Size: o.Size(), Name: r.Resp.Name}
		return true
	}
	return false
}

// member finds one who offers a method.
func (f *Fetch) member(method string, id kith.ID) (kith.Member, bool) {
	members := f.cfg.Group.Members(method)
	i := slices.IndexFunc(members, func(m kith.Member) bool { return m.ID == id })
	if i < 0 {
		return kith.Member{}, false
	}
	return members[i], true
}

// shun sees to it that a holder is not asked again.
func (f *Fetch) shun(id kith.ID) {
	f.mu.Lock()
	_, known := f.wrong[id]
	f.wrong[id] = struct{}{}
	f.mu.Unlock()
	if !known {
		f.cfg.Lost(id, ErrWrong)
	}
}

func (f *Fetch) shunned(id kith.ID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.wrong[id]
	return ok
}

// A Target is where a content goes.
type Target struct {
	// Path is the name of the file. What is on its way is beside it, under a
	// name that begins with a dot, and is used again by the next Fetch of the same content to the
	// same Path.
	Path string

	// Replace lets the file take the place of another. If false, and there is
	// one, Save fails with an error that matches [io/fs.ErrExist].
	Replace bool
}

// A Result says how a content came.
type Result struct {
	Had int64             // bytes that an earlier Fetch had left
	Got map[kith.ID]int64 // bytes from each holder
}

// Save fetches what there is not yet, and gives the file its name when it is whole
// and on the disk. The end of ctx ends it; what has come stays, to be gone on with.
func (f *Fetch) Save(ctx context.Context, to Target) (Result, error) {
	var r Result
	var err error
	if f.partial, err = openPartial(to, f.hash, f.outline); err != nil {
		return r, err
	}
	if r.Had, err = f.partial.verify(ctx, f.plan); err == nil {
		err = f.run(ctx, r.Had)
	}
	r.Got = f.got
	if err != nil {
		return r, errors.Join(err, f.partial.close())
	}
	return r, f.partial.finish()
}

// run fetches all that is missing. When it returns, no goroutine is left.
func (f *Fetch) run(ctx context.Context, had int64) error {
	inner, cancel := context.WithCancel(ctx)
	defer f.workers.Wait()
	defer cancel()
	f.workers.Go(func() { f.lookLoop(inner) })
	patience := time.NewTimer(max(f.cfg.Patience, 0))
	defer patience.Stop()
	if f.cfg.Patience < 0 {
		patience.Stop()
	}
	for {
		have, left := f.state()
		f.cfg.Progress(had+have, f.outline.Size())
		if left == 0 {
			return nil
		}
		select {
		case <-f.advanced:
			if f.cfg.Patience > 0 {
				patience.Reset(f.cfg.Patience)
			}
		case <-patience.C:
			return fmt.Errorf("%w (any more)", ErrNobody)
		case err := <-f.over:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// state returns how many bytes have come, and how many chunks are missing.
func (f *Fetch) state() (have int64, left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.got {
		have += n
	}
	return have, f.plan.left
}

// advance says that there is something new.
func (f *Fetch) advance() {
	select {
	case f.advanced <- struct{}{}:
	default:
	}
}
