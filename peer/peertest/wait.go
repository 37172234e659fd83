package peertest

import (
	"time"

	"github.com/kith-go/kith/peer"
)

// WaitUp waits until each of the nodes is connected to each of the others, and fails
// the test, saying who was not and what it saw, when [Config.Timeout] is over.
func (l *LAN) WaitUp(nodes ...*Node) {
	l.t.Helper()
	l.waitAll(nodes, "Up", func(i peer.Info, _ bool) bool { return i.Up })
}

// WaitFound waits until each of the nodes knows each of the others, connected or
// not. It fails as WaitUp does.
func (l *LAN) WaitFound(nodes ...*Node) {
	l.t.Helper()
	l.waitAll(nodes, "Found", func(_ peer.Info, known bool) bool { return known })
}

// WaitDown waits until n is connected to none of the others. It fails as WaitUp
// does.
func (l *LAN) WaitDown(n *Node, others ...*Node) {
	l.t.Helper()
	l.waitFor(n, others, "Down", func(i peer.Info, _ bool) bool { return !i.Up })
}

// WaitGone waits until n knows nothing of the others any more. It fails as WaitUp
// does.
func (l *LAN) WaitGone(n *Node, others ...*Node) {
	l.t.Helper()
	l.waitFor(n, others, "Gone", func(_ peer.Info, known bool) bool { return !known })
}

func (l *LAN) waitAll(nodes []*Node, what string, ok func(peer.Info, bool) bool) {
	l.t.Helper()
	for _, n := range nodes {
		l.waitFor(n, nodes, what, ok)
	}
}

// waitFor waits until ok holds for what n knows of each of the others.
func (l *LAN) waitFor(n *Node, others []*Node, what string, ok func(peer.Info, bool) bool) {
	l.t.Helper()
	var over <-chan time.Time
	if l.cfg.Timeout > 0 {
		t := time.NewTimer(l.cfg.Timeout)
		defer t.Stop()
		over = t.C
	}
	for _, o := range others {
		if o == n {
			continue
		}
		for {
			info, known, changed := n.view(o.ID())
			if ok(info, known) {
				break
			}
			select {
			case <-changed:
			case <-n.ended:
				l.t.Fatalf("peertest: node %s was closed while the test waited for %s to be %s there\n%s", n.Name(), o.Name(), what, n.tell())
			case <-over:
				l.t.Fatalf("peertest: after %v, %s is not %s at %s\n%s\n%s", l.cfg.Timeout, o.Name(), what, n.Name(), n.tell(), o.tell())
			}
		}
	}
}
