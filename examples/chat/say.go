package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kith-go/kith"
)

// A Who is what somebody says of himself.
type Who struct {
	Name string
	// Run differs from one start of his program to the next.
	Run int64
}

// A Line is something said. Without a Text it only says who is there.
type Line struct {
	From Who
	Text string
}

const (
	maxText = 2 << 10
	maxName = 64
	// sayTime is how long a line may take. Who has no answer by then may have it or not.
	sayTime = 5 * time.Second
	// maxQueue is how many lines may wait for one who is slow.
	maxQueue = 64
)

// say brings a Line to a peer, and tells who that is. Each is answered when it is shown, and the
// next one sent when the last was answered, so all see the lines of one peer in
// their order.
var say = kith.Unary[Line, Who]("chat/Say", kith.Timeout(sayTime), kith.MaxMessage(16<<10))

// onSay shows what a peer said.
func (r *room) onSay(ctx context.Context, l Line) (Who, error) {
	id := kith.PeerFrom(ctx).ID
	if err := r.awaitUp(ctx, id); err != nil {
		return Who{}, err
	}
	if err := r.heard(ctx, id, l.From); err != nil || l.Text == "" {
		return r.me, err
	}
	return r.me, r.screen.show(ctx, r.shown(id)+": "+clean(l.Text, maxText))
}

// sendLoop brings lines to one peer. It ends when the queue is closed: when the peer is
// not connected any more, whereupon ctx has ended, or when this one leaves. leave waits for it.
func (r *room) sendLoop(ctx context.Context, id kith.ID, queue <-chan string) {
	defer r.senders.Done()
	to := r.node.Peer(id)
	if who, err := say.Call(ctx, to, Line{From: r.me}); err == nil {
		_ = r.heard(ctx, id, who) // fails only with ctx
	}
	for text := range queue {
		who, err := say.Call(ctx, to, Line{From: r.me, Text: text})
		switch {
		case err == nil:
			_ = r.heard(ctx, id, who)
		case kith.Unprocessed(err) || kith.Remote(err):
			r.screen.note("%s did not get %q", r.shown(id), text)
		default:
			r.screen.note("%s may not have got %q", r.shown(id), text)
		}
	}
}

// typed carries out what the user typed.
func (r *room) typed(line string) {
	line = strings.TrimSpace(line)
	r.mu.Lock()
	here := r.hereLocked()
	r.mu.Unlock()
	switch {
	case line == "":
	case len(here) == 0:
		r.screen.note("nobody is here")
	case line == "/who":
		var names []string
		for _, id := range here {
			names = append(names, r.shown(id))
		}
		slices.Sort(names)
		r.screen.note("here: %s", strings.Join(names, ", "))
	default:
		for _, id := range r.send(line) {
			r.screen.note("%s is too slow, and does not get %q", r.shown(id), line)
		}
	}
}

// send has a line brought to all who are connected, and returns to whom it cannot be.
func (r *room) send(line string) (slow []kith.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if m.queue == nil {
			continue
		}
		select { // never blocks
		case m.queue <- line:
		default:
			slow = append(slow, id)
		}
	}
	return slow
}
