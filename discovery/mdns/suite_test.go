package mdns

import (
	"net/netip"
	"testing"

	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/discoverytest"
)

// saying returns the packet that says raw, in the name of its ID as far as it has one.
func saying(raw []byte, ttl uint32) []byte {
	a := &advert{text: textOfBytes(raw), port: 9}
	if r, err := discovery.Peek(raw); err == nil {
		a.label = labelOf(r.ID)
	} else {
		for i := range a.label {
			a.label[i] = 'a'
		}
	}
	return buildAnswer(a, netip.Addr{}, ttl, nil)
}

// attacker is somebody on the virtual LAN.
var attacker = inbound{from: netip.MustParseAddrPort("10.1.200.1:5353"), index: 2, ttl: 255}

func TestSuite(t *testing.T) {
	discoverytest.Run(t, func(t testing.TB) discoverytest.Setup {
		n := newLAN(t, 1)
		return discoverytest.Setup{
			New: func() discovery.Discovery { return n.node().d },
			Inject: func(raw []byte) error {
				n.inject(attacker, saying(raw, ttlAnswer))
				return nil
			},
			Crash: func(d discovery.Discovery) {
				for _, h := range n.hosts {
					if h.d == d {
						h.crash()
					}
				}
			},
			InMemory: true,
		}
	})
}
