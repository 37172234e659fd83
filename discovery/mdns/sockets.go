package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kith-go/kith/discovery"
)

// Where mDNS is spoken.
var (
	group4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), mdnsPort)
	group6 = netip.AddrPortFrom(netip.MustParseAddr("ff02::fb"), mdnsPort)
)

// watchEvery is how often the interfaces are looked at.
const watchEvery = 2 * time.Second

// sockets is the medium of real networks: a socket per link, and beside them the server and the query of
// hashicorp/mdns. It runs a goroutine that watches the interfaces, one that reads per socket, and one per query.
type sockets struct {
	cfg  Config
	log  *slog.Logger
	host host

	done    chan struct{} // closed by close
	loops   sync.WaitGroup
	queries queries

	// The rest but conns belongs to watchLoop, and to openSockets before.
	responder responder
	infos     []linkInfo // of conns
	opened    int
	trouble   map[linkKey]trouble
	deaf      bool // it was said that there is no link

	conns atomic.Pointer[map[linkKey]*conn] // never changed once stored
}

// openSockets opens what there is. No link is no error, one that cannot be opened while no other can is.
func openSockets(_ context.Context, cfg Config, log *slog.Logger, h host) (medium, error) {
	s := &sockets{cfg: cfg, log: log, host: h, done: make(chan struct{}), trouble: make(map[linkKey]trouble)}
	s.conns.Store(new(map[linkKey]*conn))
	s.queries.init(h)
	s.responder.init(cfg.Standalone, log, h)
	infos, err := s.scan()
	if err != nil && len(infos) == 0 {
		return nil, unavailable(err)
	}
	s.responder.refresh(infos, true)
	s.loops.Go(s.watchLoop)
	return s, nil
}

// unavailable says what is missing and what to do.
func unavailable(err error) error {
	hint := "multicast does not work here; discovery/static does without"
	switch {
	case isAddrInUse(err):
		hint = "another program holds port 5353 and does not share it: stop it or have it share " +
			"(avahi: disallow-other-stacks=no), or use discovery/static"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		hint = "this process may not use multicast; discovery/static does without"
	}
	return fmt.Errorf("%w: %s: %w", discovery.ErrUnavailable, hint, err)
}

// close implements medium.
func (s *sockets) close() {
	close(s.done)
	s.queries.stop()
	for _, c := range *s.conns.Load() {
		c.close()
	}
	s.loops.Wait()
	for _, c := range *s.conns.Load() { // those that watchLoop opened meanwhile
		c.close()
		c.wait()
	}
	s.responder.stop()
	s.queries.wait()
}

// send implements medium.
func (s *sockets) send(o outbound) {
	c := (*s.conns.Load())[o.link]
	if c == nil {
		return
	}
	if !o.probe.IsZero() && s.responder.running() && s.queries.start(c, o.probe, o.data) {
		return
	}
	c.write(o.data, o.to)
}

// watchLoop keeps the sockets what the interfaces are. It ends with close, which waits for it.
func (s *sockets) watchLoop() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-s.done:
			return
		case <-tick.C:
		}
		before := s.conns.Load()
		infos, _ := s.scan() // said in the log
		if changed := s.conns.Load() != before; changed || n%checkPortEvery == 0 {
			s.responder.refresh(infos, changed)
		}
	}
}

// checkPortEvery is after how many looks at the interfaces the port is looked at.
const checkPortEvery = 15

// scan opens what is new, closes what is gone, and tells the host if anything changed. The error is that of the
// last link that could not be opened.
func (s *sockets) scan() ([]linkInfo, error) {
	all, err := s.cfg.find()
	if err != nil {
		s.log.Warn("mdns: cannot list network interfaces", "error", err)
		return s.infos, err
	}
	old := *s.conns.Load()
	conns := make(map[linkKey]*conn, len(all))
	var infos []linkInfo
	changed := false
	for _, f := range all {
		c := old[f.linkKey]
		if c == nil || !c.is(f.linkInfo) || c.failed.Load() && s.mayRetry(f.linkKey) {
			changed = true
			if c != nil {
				c.close()
				c.wait()
			}
			var openErr error
			if c, openErr = s.openLink(f); openErr != nil {
				err = openErr
				continue
			}
		}
		conns[f.linkKey] = c
		infos = append(infos, c.info)
	}
	for key, c := range old {
		if conns[key] == nil {
			changed = true
			c.close()
			c.wait()
		}
	}
	maps.DeleteFunc(s.trouble, func(key linkKey, _ trouble) bool {
		return !slices.ContainsFunc(all, func(f found) bool { return f.linkKey == key })
	})
	if changed || len(infos) == 0 && !s.deaf {
		s.conns.Store(&conns)
		s.infos = infos
		s.host.setLinks(infos)
		s.report(infos)
	}
	return infos, err
}

func (s *sockets) openLink(f found) (*conn, error) {
	pc, err := listen(f.iface, f.linkInfo)
	if err != nil {
		if s.trouble[f.linkKey].times == 0 {
			s.log.Warn("mdns: cannot use an interface", "interface", f.name, "ipv6", f.v6, "error", err)
		}
		s.mayRetry(f.linkKey)
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	s.opened++
	f.opened = s.opened
	return startConn(pc, f, s.log, s.hear), nil
}

// A trouble is a link that cannot be opened, or not written to or read.
type trouble struct {
	times int
	next  time.Time // when to try again
}

// maxTrouble is how long is waited at most until such a link is tried again.
const maxTrouble = time.Minute

// mayRetry says whether a link in trouble may be tried, and if so accounts for it.
func (s *sockets) mayRetry(key linkKey) bool {
	t, now := s.trouble[key], time.Now()
	switch {
	case now.Before(t.next):
		return false
	case now.Sub(t.next) > maxTrouble:
		t.times = 0 // all was well since
	}
	t.next = now.Add(min(watchEvery<<min(t.times, 8), maxTrouble))
	t.times++
	s.trouble[key] = t
	return true
}

// hear passes on a packet.
func (s *sockets) hear(m *message, p []byte, in inbound) {
	s.queries.heard()
	s.host.receive(m, p, in)
}

// report says in the log what is used.
func (s *sockets) report(infos []linkInfo) {
	s.deaf = len(infos) == 0
	if s.deaf {
		s.log.Warn("mdns: no network interface with multicast is up; waiting for one")
		return
	}
	var names []string
	for _, i := range infos {
		if !slices.Contains(names, i.name) {
			names = append(names, i.name)
		}
	}
	s.log.Debug("mdns: listening", "interfaces", names)
}

// A found is a link as it is now.
type found struct {
	linkInfo
	iface *net.Interface
}

// find lists the links that the configuration wants.
func (cfg *Config) find() ([]found, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var all []found
	for _, iface := range ifaces {
		loopback := iface.Flags&net.FlagLoopback != 0
		switch {
		case iface.Flags&net.FlagUp == 0, iface.Flags&net.FlagMulticast == 0 && !loopback:
			continue
		case cfg.Interfaces == nil && loopback, cfg.Interfaces != nil && !cfg.Interfaces(iface):
			continue
		}
		addrs, err := iface.Addrs()
		if err != nil {
			continue // it is going away
		}
		v4, v6 := linksOf(iface, addrs)
		if v4.addr.IsValid() && !cfg.NoIPv4 {
			all = append(all, found{v4, &iface})
		}
		if v6.addr.IsValid() && !cfg.NoIPv6 {
			all = append(all, found{v6, &iface})
		}
	}
	return all, nil
}

// linksOf sorts an interface's addresses. A link without an address has none.
func linksOf(iface net.Interface, addrs []net.Addr) (v4, v6 linkInfo) {
	v4 = linkInfo{linkKey: linkKey{iface.Index, false}, name: iface.Name}
	v6 = linkInfo{linkKey: linkKey{iface.Index, true}, name: iface.Name}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		l := &v4
		if p.Addr().Is6() {
			l = &v6
		}
		if !l.addr.IsValid() || l.addr.IsLoopback() {
			l.addr = p.Addr()
		}
		l.prefixes = append(l.prefixes, p.Masked())
	}
	return v4, v6
}
