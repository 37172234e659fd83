package mdns

import (
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

// sendLoop keeps the engine's time and sends what it wants sent. It ends when the Discovery is closed, after what
// is left of goodbyes; Close waits for it.
func (d *Discovery) sendLoop() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for last := false; ; {
		next := d.turn(last)
		if last {
			return
		}
		timer.Reset(next)
		select {
		case <-d.wake:
		case <-timer.C:
		case <-d.done:
			last = true
		}
	}
}

// idle is how long the loop sleeps if it has nothing to do.
const idle = time.Hour

// turn sends what is due, and returns how long there is nothing to do.
func (d *Discovery) turn(last bool) time.Duration {
	d.mu.Lock()
	if last {
		d.engine.hurryFarewells()
	}
	out := d.engine.tick(time.Now())
	sent := d.sent
	d.sent = nil
	d.mu.Unlock()

	for _, o := range out {
		d.medium.send(o) // medium is set before the loop begins, and until it has ended
	}
	for _, s := range sent {
		close(s)
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.engine.next()
	if next.IsZero() {
		return idle
	}
	return max(0, time.Until(next))
}

// receive implements host.
func (d *Discovery) receive(m *message, p []byte, in inbound) {
	err := m.parse(p)
	for _, n := range d.handOver(m, p, in, err) {
		d.log.Warn("mdns: another process advertises this identity", "id", n.ID.String(), "addrs", n.Addrs)
	}
}

// handOver gives the engine a message, and returns what is to be logged when no lock is held.
func (d *Discovery) handOver(m *message, p []byte, in inbound, parseErr error) []note {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.stats.PacketsReceived++
	d.engine.stats.BytesReceived += uint64(len(p))
	if parseErr != nil {
		d.engine.stats.Refused++
		return nil
	}
	if d.closed || len(m.questions) == 0 && len(m.answers) == 0 {
		return nil
	}
	before := d.engine.next()
	d.engine.receive(now, m, in)
	if after := d.engine.next(); !after.Equal(before) {
		d.poke()
	}
	notes := d.engine.notes
	d.engine.notes = nil
	return notes
}

// setLinks implements host.
func (d *Discovery) setLinks(infos []linkInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.setLinks(time.Now(), infos)
	d.poke()
}

// setResponder implements host.
func (d *Discovery) setResponder(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.responder = on
}

// takeDirect implements host.
func (d *Discovery) takeDirect(l label) (reply, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.engine.takeDirect(l)
}

// vouch implements host.
func (d *Discovery) vouch(id kith.ID, raw []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.vouch(time.Now(), id, raw)
}

// suspect is what the Suspect of browsers comes to.
func (d *Discovery) suspect(network discovery.Tag, id kith.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.suspect(time.Now(), network, id)
	d.poke()
}
