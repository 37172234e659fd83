package peertest

import (
	"sync"

	"github.com/kith-go/kith/transport/memory"
)

// wires is what lies between hosts: the links, and the cuts. The network below is told of
// them; the bus asks here.
type wires struct {
	net     *memory.Network
	link    memory.Link
	schemes []string

	mu      sync.Mutex
	links   map[route]*memory.Link // between hosts, that are not link; guarded by mu
	nodes   []string               // guarded by mu
	parts   map[string]int         // by node; guarded by mu
	latest  int                    // of parts; guarded by mu
	asleep  map[string]bool        // by node; guarded by mu
	severed map[route]bool         // between nodes, as the network was told; guarded by mu
}

// A route is one direction between two hosts, or two nodes.
type route struct{ from, to string }

func newWires(net *memory.Network, cfg Config) *wires {
	return &wires{
		net: net, link: cfg.Link, schemes: cfg.Schemes, links: make(map[route]*memory.Link),
		parts: make(map[string]int), asleep: make(map[string]bool), severed: make(map[route]bool),
	}
}

// add enters a node, if it is new.
func (w *wires) add(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.parts[node]; known {
		return
	}
	w.parts[node] = 0
	for _, other := range w.nodes {
		w.settleLocked(node, other)
	}
	w.nodes = append(w.nodes, node)
}

// setLink sets the link of one direction between hosts. Whether it refuses is for refuse to say.
func (w *wires) setLink(from, to string, link memory.Link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.linkLocked(from, to)
	link.Refuse = link.Refuse || l.Refuse
	*l = link
	w.net.SetOneWay(from, to, link)
}

func (w *wires) refuse(from, to string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.linkLocked(from, to)
	l.Refuse = on
	w.net.SetOneWay(from, to, *l)
}

func (w *wires) linkLocked(from, to string) *memory.Link {
	r := route{from, to}
	if w.links[r] == nil {
		link := w.link
		w.links[r] = &link
	}
	return w.links[r]
}

// part puts nodes into a part of their own.
func (w *wires) part(nodes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest++
	for _, name := range nodes {
		w.parts[name] = w.latest
	}
	w.settleAllLocked()
}

// heal makes the parts one again.
func (w *wires) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.parts {
		w.parts[name] = 0
	}
	w.settleAllLocked()
}

func (w *wires) sleep(node string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asleep[node] = on
	w.settleAllLocked()
}

func (w *wires) settleAllLocked() {
	for i, a := range w.nodes {
		for _, b := range w.nodes[:i] {
			w.settleLocked(a, b)
		}
	}
}

// settleLocked tells the network whether two nodes are cut off from each other, if
// that is news.
func (w *wires) settleLocked(a, b string) {
	cut, r := w.cutLocked(a, b), route{a, b}
	if w.severed[r] == cut {
		return
	}
	w.severed[r] = cut
	for _, s := range w.schemes {
		if cut {
			w.net.Partition(hostName(a, s), hostName(b, s))
		} else {
			w.net.Heal(hostName(a, s), hostName(b, s))
		}
	}
}

func (w *wires) cutLocked(a, b string) bool {
	return w.parts[a] != w.parts[b] || w.asleep[a] || w.asleep[b]
}

// between returns the link of a packet from one node to another, and whether it can pass.
func (w *wires) between(from, to string) (link memory.Link, open bool) {
	if from == to {
		return memory.Link{}, true
	}
	s := w.schemes[0]
	w.mu.Lock()
	defer w.mu.Unlock()
	link = w.link
	if l := w.links[route{hostName(from, s), hostName(to, s)}]; l != nil {
		link = *l
	}
	return link, !w.cutLocked(from, to)
}
