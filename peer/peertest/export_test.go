package peertest

import (
	"slices"

	"github.com/kith-go/kith/discovery"
)

// Inject lets all stations hear bytes in a record's place.
func (l *LAN) Inject(raw []byte) {
	raw = slices.Clone(raw) // the caller's
	l.bus.mu.Lock()
	defer l.bus.mu.Unlock()
	stranger := &station{bus: l.bus, node: "stranger"}
	for _, s := range l.bus.stations {
		for network := range s.views {
			l.bus.carryLocked(stranger, packet{raw: raw, network: network}, s)
		}
	}
}

// Silence takes a Discovery off the bus without a word.
func Silence(d discovery.Discovery) { d.(*station).silence() }
