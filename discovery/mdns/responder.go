package mdns

import (
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"

	hashimdns "github.com/hashicorp/mdns"
	"github.com/miekg/dns"
)

// A responder runs the server of hashicorp/mdns. It answers direct questions by unicast, from a socket on the wildcard
// address. There, it would take the unicast packets of others on this host; so it runs only where it is alone.
type responder struct {
	off  bool // for good, by configuration
	log  *slog.Logger
	host host
	on   atomic.Bool

	server *hashimdns.Server // nil if not running
	said   bool
}

// silent keeps hashicorp/mdns from writing two lines for each bad packet.
var silent = log.New(io.Discard, "", 0)

func (r *responder) init(off bool, log *slog.Logger, h host) { r.off, r.log, r.host = off, log, h }

// running may be called at any time; the other methods are the watch loop's.
func (r *responder) running() bool { return r.on.Load() }

// refresh starts the server, stops it where the port is not ours alone, and makes it anew where the links
// changed: it would stay deaf on an interface that was down.
func (r *responder) refresh(links []linkInfo, changed bool) {
	if r.off {
		return
	}
	if portShared() {
		if !r.said {
			r.log.Info("mdns: another program uses port 5353; answering without hashicorp/mdns")
		}
		r.said = true
		r.stop()
		return
	}
	if len(links) == 0 {
		r.stop()
		return
	}
	if r.server != nil && !changed {
		return
	}
	r.stop()
	iface, err := net.InterfaceByIndex(links[0].index)
	if err != nil {
		return // it went away; the next look at the interfaces sees that
	}
	// Given an interface it does not depend on a route. It hears those too that our sockets joined the group on.
	r.server, err = hashimdns.NewServer(&hashimdns.Config{Zone: zone{r.host}, Iface: iface, Logger: silent})
	if err != nil {
		r.log.Debug("mdns: answering without hashicorp/mdns", "error", err)
		r.server = nil
		return
	}
	r.on.Store(true)
	r.host.setResponder(true)
}

// stop stops the server. Its two goroutines end soon, as their sockets are closed; it does not say when.
func (r *responder) stop() {
	if r.server == nil {
		return
	}
	r.on.Store(false)
	r.host.setResponder(false)
	_ = r.server.Shutdown() // always nil
	r.server = nil
}

// A zone gives the server what the engine wants said.
type zone struct{ host host }

// Records implements the Zone of hashicorp/mdns. Who is there is answered by the engine alone, by multicast and
// with a delay.
func (z zone) Records(q dns.Question) []dns.RR {
	name, ok := strings.CutSuffix(strings.ToLower(q.Name), "."+serviceName)
	if class := q.Qclass &^ topBit; !ok || len(name) != labelSize || (class != classIN && class != classANY) {
		return nil
	}
	r, ok := z.host.takeDirect(label([]byte(name)))
	if !ok {
		return nil
	}
	return r.records()
}

// serviceName is the service's name as text.
const serviceName = "_kith._udp.local."

// records are those of buildAnswer, in the form of miekg/dns.
func (r reply) records() []dns.RR {
	id := string(r.label[:])
	instance, host := id+"."+serviceName, id+".local."
	header := func(name string, rtype uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: rtype, Class: classIN, Ttl: ttlLegacy}
	}
	rrs := []dns.RR{
		&dns.PTR{Hdr: header(serviceName, dns.TypePTR), Ptr: instance},
		&dns.TXT{Hdr: header(instance, dns.TypeTXT), Txt: r.text},
		&dns.SRV{Hdr: header(instance, dns.TypeSRV), Port: r.port, Target: host},
	}
	switch {
	case r.addr.Is4():
		rrs = append(rrs, &dns.A{Hdr: header(host, dns.TypeA), A: r.addr.AsSlice()})
	case r.addr.Is6():
		rrs = append(rrs, &dns.AAAA{Hdr: header(host, dns.TypeAAAA), AAAA: r.addr.AsSlice()})
	}
	return rrs
}
