package peertest

import "github.com/kith-go/kith/transport/memory"

// SetLink sets the link between two nodes, in both directions, for connections of the schemes, all of
// the LAN's if none is named, and for the bus if the first of the LAN's is among
// them. What is under way keeps its time of arrival.
func (l *LAN) SetLink(a, b *Node, link memory.Link, schemes ...string) {
	if len(schemes) == 0 {
		schemes = l.cfg.Schemes
	}
	for _, s := range schemes {
		l.wires.setLink(a.Host(s), b.Host(s), link)
		l.wires.setLink(b.Host(s), a.Host(s), link)
	}
}

// Block makes every dial from one node to another fail with [memory.ErrRefused], until Allow. The
// connections there are stay, as does what to dials.
func (l *LAN) Block(from, to *Node) { l.block(from, to, true) }

// Allow ends a Block.
func (l *LAN) Allow(from, to *Node) { l.block(from, to, false) }

func (l *LAN) block(from, to *Node, on bool) {
	for _, s := range l.cfg.Schemes {
		l.wires.refuse(from.Host(s), to.Host(s), on)
	}
}

// Partition cuts the nodes off from all others; among themselves nothing changes. Nothing passes the
// cut: connections and dials hang. A node that an earlier Partition has cut off is in
// this part now.
func (l *LAN) Partition(nodes ...*Node) {
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Name())
	}
	l.wires.part(names)
}

// Heal joins all parts. What was sent on connections meanwhile and was not given up is sent again.
func (l *LAN) Heal() { l.wires.heal() }

// Sleep takes the node off the network, as a laptop that is closed, until Wake. Its own clock goes on, so it
// notices as well as the others do, unless it wakes before.
func (l *LAN) Sleep(n *Node) { l.wires.sleep(n.Name(), true) }

// Wake ends a Sleep.
func (l *LAN) Wake(n *Node) { l.wires.sleep(n.Name(), false) }

// Move gives the node's host another address, as when it changes network. Connections fall silent at both
// ends; the listeners stay open at the new address. Nobody is told: the node is to notice.
func (l *LAN) Move(n *Node) {
	l.t.Helper()
	l.mu.Lock()
	err := l.addressLocked(n.host)
	l.mu.Unlock()
	if err != nil {
		l.t.Errorf("peertest: Move(%s): %v", n.Name(), err)
	}
}

// Sever lets the node's connections fall silent at both ends, as when a firewall on the way forgets them. New
// ones can be made at once.
func (l *LAN) Sever(n *Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.cfg.Schemes {
		l.net.Move(n.Host(s), n.host.addr, memory.Silently)
	}
}

// Crash takes the host away without a word, as when its power is cut. The others find out by
// silence. [LAN.Restart] brings it back.
func (l *LAN) Crash(n *Node) { l.down(n, memory.Silently) }

// Kill ends the process without a word; its host goes on, and resets its connections. [LAN.Restart]
// starts it again.
func (l *LAN) Kill(n *Node) {
	l.down(n, memory.WithReset)
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := n.host; h.down && h.node == n {
		for _, s := range l.cfg.Schemes {
			l.net.Up(n.Host(s))
		}
		h.down = false
	}
}

// down ends a process, from the outside in, so that nobody hears of it by what it does at its end.
func (l *LAN) down(n *Node, how memory.Death) {
	h := n.host
	l.mu.Lock()
	if h.node != n {
		l.mu.Unlock()
		return // another process is there now
	}
	first := !h.down
	h.down = true
	station, trs := h.station, h.trs
	l.mu.Unlock()
	if first {
		station.silence()
		for _, s := range l.cfg.Schemes {
			l.net.Down(n.Host(s), how)
		}
	}
	_ = n.Close()
	<-n.ended
	if station != nil {
		_ = station.Close()
	}
	_ = trs.Close()
}
