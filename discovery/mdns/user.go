package mdns

import (
	"sync"
	"time"

	"github.com/kith-go/kith/discovery"
)

// An advertiser is a user's hold on what is said of a node.
type advertiser struct {
	d      *Discovery
	signed discovery.Signed // as it was first
	closed bool             // guarded by d.mu
}

// Update implements [discovery.Advertiser].
func (a *advertiser) Update(s discovery.Signed) error {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	if a.closed || a.d.closed {
		return discovery.ErrClosed
	}
	if err := a.d.engine.update(time.Now(), a.signed.Record().ID, s); err != nil {
		return err
	}
	a.d.poke()
	return nil
}

// Close implements [discovery.Advertiser].
func (a *advertiser) Close(goodbye discovery.Signed) error {
	sent, err := a.withdraw(goodbye)
	if sent != nil {
		select {
		case <-sent:
		case <-a.d.done: // the loop says what is left, and Close of the Discovery waits for it
		}
	}
	return err
}

// withdraw ends the advertising. The channel is closed when the goodbye is sent.
func (a *advertiser) withdraw(goodbye discovery.Signed) (sent chan struct{}, err error) {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	if a.closed || a.d.closed {
		return nil, nil
	}
	a.closed = true
	if err := a.d.engine.withdraw(time.Now(), a.signed, goodbye); err != nil || goodbye.IsZero() {
		return nil, err
	}
	sent = make(chan struct{})
	a.d.sent = append(a.d.sent, sent)
	a.d.poke()
	return sent, nil
}

// A browser is a user's view of a network.
type browser struct {
	discovery.Browser
	d       *Discovery
	network discovery.Tag
	view    *view
	once    sync.Once
}

// Close implements [discovery.Browser].
func (b *browser) Close() error {
	err := b.Browser.Close()
	b.once.Do(func() {
		b.d.mu.Lock()
		defer b.d.mu.Unlock()
		b.d.engine.leave(b.network, b.view)
	})
	return err
}
