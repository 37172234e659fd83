package peertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
)

// A Node is a node on a [LAN]: one process, until it leaves, crashes or is started again. Get one from
// [LAN.Join]. It is closed with the LAN; Leave and Close are for tests of those.
type Node struct {
	*peer.Node

	lan  *LAN
	host *host

	ended chan struct{} // closed by watchLoop

	mu      sync.Mutex
	peers   map[kith.ID]peer.Info // as Watch has told; guarded by mu
	story   []line                // the last events; guarded by mu
	changed chan struct{}         // closed, and made anew, with each event; guarded by mu
}

// A line is one event in a node's story.
type line struct {
	at   time.Duration // since the LAN began
	kind peer.Kind
	info peer.Info
}

// maxStory is how many events a failure shows.
const maxStory = 24

func newNode(l *LAN, h *host, p *peer.Node) *Node {
	n := &Node{
		Node: p, lan: l, host: h, ended: make(chan struct{}),
		peers: make(map[kith.ID]peer.Info), changed: make(chan struct{}),
	}
	go n.watchLoop()
	return n
}

// watchLoop keeps what the node says of its peers. It ends with the node; the
// LAN waits for it at the end.
func (n *Node) watchLoop() {
	defer close(n.ended)
	for ev := range n.Watch(context.Background()) {
		n.mu.Lock()
		if ev.Kind == peer.Gone {
			delete(n.peers, ev.Info.ID)
		} else {
			n.peers[ev.Info.ID] = ev.Info
		}
		if len(n.story) == maxStory {
			n.story = slices.Delete(n.story, 0, 1)
		}
		n.story = append(n.story, line{time.Since(n.lan.begin), ev.Kind, ev.Info})
		close(n.changed)
		n.changed = make(chan struct{})
		n.mu.Unlock()
	}
}

// Name returns the name by which the node joined the LAN.
func (n *Node) Name() string { return n.host.name }

// Host returns the name of the node's host on [LAN.Network] for one of the
// LAN's schemes.
func (n *Node) Host(scheme string) string { return hostName(n.host.name, scheme) }

// hostName returns a name that is a host's of its own, as links are between hosts.
func hostName(name, scheme string) string { return name + "." + scheme }

// view returns what the node knows of a peer, and a channel that is closed when that may
// be different.
func (n *Node) view(id kith.ID) (info peer.Info, known bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	info, known = n.peers[id]
	return info, known, n.changed
}

// tell writes the node's story.
func (n *Node) tell() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s saw:", n.Name())
	if len(n.story) == 0 {
		b.WriteString(" nobody")
	}
	for _, l := range n.story {
		fmt.Fprintf(&b, "\n  %10v %-7v %s", l.at, l.kind, n.lan.nameOf(l.info.ID))
		if l.info.Addr != "" {
			fmt.Fprintf(&b, " at %s", l.info.Addr)
		}
		if l.info.Err != nil {
			fmt.Fprintf(&b, ": %v", l.info.Err)
		}
	}
	return b.String()
}

func (l *LAN) nameOf(id kith.ID) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, h := range l.hosts {
		if h.key.ID() == id {
			return name
		}
	}
	return id.Short()
}
