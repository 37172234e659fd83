package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/transport"
)

// A room is who is there, as this node sees it. It runs a goroutine that watches, and one
// for each peer that is connected. End it with leave.
type room struct {
	me     Who
	node   *peer.Node
	discs  []discovery.Discovery
	screen *screen

	ctx      context.Context // ends what leave does not wait for any longer
	cancel   context.CancelFunc
	watching sync.WaitGroup
	senders  sync.WaitGroup

	mu      sync.Mutex
	members map[kith.ID]*member // guarded by mu
	changed chan struct{}       // guarded by mu; closed, and made anew, when members change
	leaving bool                // guarded by mu
}

// A member is somebody who is or was there.
type member struct {
	who   Who
	known bool // who is what he says
	here  bool // shown as here
	up    bool
	queue chan<- string // what is to be sent, nil unless up
	end   context.CancelFunc
}

// watchLoop shows who goes, and sends to who comes. It ends with the node; leave waits.
func (r *room) watchLoop() {
	defer r.watching.Done()
	for ev := range r.node.Watch(context.Background()) {
		switch ev.Kind {
		case peer.Up:
			if slices.Contains(ev.Info.Methods, say.Name()) {
				r.connected(ev.Info.ID)
			}
		case peer.Down:
			r.disconnected(ev.Info.ID, ev.Info.Err)
		}
	}
}

func (r *room) connected(id kith.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[id]
	if m == nil {
		r.makeRoomLocked()
		m = new(member)
		r.members[id] = m
	}
	m.up = true
	if !r.leaving {
		queue := make(chan string, maxQueue)
		var ctx context.Context
		ctx, m.end = context.WithCancel(r.ctx)
		m.queue = queue
		r.senders.Add(1)
		go r.sendLoop(ctx, id, queue)
	}
	r.changedLocked()
}

func (r *room) disconnected(id kith.ID, why error) {
	name := r.shown(id)
	r.mu.Lock()
	m := r.members[id]
	if m == nil || !m.up {
		r.mu.Unlock()
		return
	}
	wasHere, leaving := m.here, r.leaving
	m.up, m.here = false, false
	m.stopLocked()
	r.changedLocked()
	r.mu.Unlock()
	switch text, lost := reason(why); {
	case !wasHere || leaving:
	case lost:
		r.screen.note("lost %s: %s", name, text)
	default:
		r.screen.note("%s left", name)
	}
}

// reason tells a connection that was lost from one that was ended in order, and why.
func reason(err error) (text string, lost bool) {
	var ended *transport.ConnError
	if !errors.As(err, &ended) {
		return clean(fmt.Sprint(err), maxReason), true
	}
	if text = ended.Reason; text == "" {
		text = fmt.Sprint(err)
	}
	return clean(text, maxReason), ended.Code != kith.OK
}

const maxReason = 200

// maxMembers is how many are known at a time, unless more are connected.
const maxMembers = 4096

// makeRoomLocked forgets one who went, if there are too many.
func (r *room) makeRoomLocked() {
	if len(r.members) < maxMembers {
		return
	}
	for id, m := range r.members {
		if !m.up {
			delete(r.members, id)
			return
		}
	}
}

// stopLocked ends the sending to a member: of what waits, too.
func (m *member) stopLocked() {
	m.closeLocked()
	if m.end != nil {
		m.end()
	}
}

// closeLocked lets the sending to a member end with what waits.
func (m *member) closeLocked() {
	if m.queue != nil {
		close(m.queue)
		m.queue = nil
	}
}

func (r *room) changedLocked() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// awaitUp waits until a peer is known to be connected: what it says is shown after its coming.
func (r *room) awaitUp(ctx context.Context, id kith.ID) error {
	for {
		r.mu.Lock()
		m, changed := r.members[id], r.changed
		up := m != nil && m.up
		r.mu.Unlock()
		if up {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// heard takes in who a peer says it is, and shows it if that is new.
func (r *room) heard(ctx context.Context, id kith.ID, who Who) error {
	who.Name = clean(who.Name, maxName)
	r.mu.Lock()
	m := r.members[id]
	if m == nil || !m.up || m.here && m.who == who {
		r.mu.Unlock()
		return nil
	}
	verb := "is here"
	if m.known {
		verb = "is back"
	}
	m.who, m.known, m.here = who, true, true
	r.changedLocked()
	r.mu.Unlock()
	return r.screen.show(ctx, "* "+r.shown(id)+" "+verb)
}

// shown returns the name of a peer, with a part of its ID where the name is no name, or not its
// alone. A name proves nothing.
func (r *room) shown(id kith.ID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[id]
	if m == nil {
		return id.Short()
	}
	alone := m.who.Name != "" && m.who.Name != r.me.Name
	for other, o := range r.members {
		alone = alone && (other == id || !o.here || o.who.Name != m.who.Name)
	}
	if alone {
		return m.who.Name
	}
	return strings.TrimSpace(m.who.Name + " (" + id.Short() + ")")
}

// await waits until somebody is there, at most for some time, and says so if nobody is.
func (r *room) await(ctx context.Context, limit time.Duration) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		r.mu.Lock()
		here, changed := r.hereLocked(), r.changed
		r.mu.Unlock()
		if len(here) > 0 {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			r.screen.note("nobody is here yet")
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *room) hereLocked() (ids []kith.ID) {
	for id, m := range r.members {
		if m.here {
			ids = append(ids, id)
		}
	}
	return ids
}
