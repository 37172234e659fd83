package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"sync"
	"time"
)

// A delay is a link of a certain length in front of a server at a loopback address, for
// TCP and UDP at one port. Both directions take the same time, and nothing is lost.
//
// The system answers a TCP connect before the proxy hears of it, so the round trip of
// TCP's own handshake is made up: what the client sends meanwhile counts as sent when
// it is over.
//
// It runs acceptLoop and datagramLoop, tcpHandler for each connection, and a copy of
// readLoop and writeLoop for each direction of each connection or client address.
type delay struct {
	each time.Duration
	to   string
	l    net.Listener
	pc   net.PacketConn
	wg   sync.WaitGroup

	mu     sync.Mutex
	open   map[io.Closer]struct{} // guarded by mu: what Close closes
	closed chan struct{}          // closed by Close, under mu
}

var loopback = regexp.MustCompile(`(127\.0\.0\.1|\[::1\]|localhost):\d+`)

// startDelay returns a delay, and addr as it is reached through it.
func startDelay(addr string, each time.Duration) (*delay, string, error) {
	to := loopback.FindString(addr)
	if to == "" {
		return nil, "", fmt.Errorf("no loopback address in %q", addr)
	}
	d := &delay{each: each, to: to, open: map[io.Closer]struct{}{}, closed: make(chan struct{})}
	var err error
	// The port that TCP gets may be taken in UDP, which is rare.
	for range 10 {
		if d.l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, "", err
		}
		if d.pc, err = net.ListenPacket("udp", d.l.Addr().String()); err == nil {
			break
		}
		_ = d.l.Close() // never used
	}
	if err != nil {
		return nil, "", err
	}
	d.wg.Go(d.acceptLoop)
	d.wg.Go(d.datagramLoop)
	return d, loopback.ReplaceAllLiteralString(addr, d.l.Addr().String()), nil
}

// Close ends all connections, and returns when its goroutines have ended.
func (d *delay) Close() error {
	d.mu.Lock()
	close(d.closed)
	var open []io.Closer
	for c := range d.open {
		open = append(open, c)
	}
	d.mu.Unlock()
	err := errors.Join(d.l.Close(), d.pc.Close())
	for _, c := range open {
		_ = c.Close() // what is on its way is lost, as it may be
	}
	d.wg.Wait()
	return err
}

// add has Close close c; it returns false if that is over, and c is closed.
func (d *delay) add(c io.Closer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.closed:
		_ = c.Close() // as Close would
		return false
	default:
		d.open[c] = struct{}{}
		return true
	}
}

// remove closes c.
func (d *delay) remove(c io.Closer) {
	_ = c.Close() // its user has heard of what failed
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
}

// acceptLoop ends with the listener; Close waits for it.
func (d *delay) acceptLoop() {
	for {
		c, err := d.l.Accept()
		if err != nil {
			return
		}
		d.wg.Go(func() { d.tcpHandler(c, time.Now()) })
	}
}

// tcpHandler carries a connection until both directions have ended; Close waits for it.
func (d *delay) tcpHandler(c net.Conn, at time.Time) {
	if !d.add(c) {
		return
	}
	defer d.remove(c)
	handshake := at.Add(2 * d.each)
	there := &pipe{d: d, from: c, notBefore: handshake, queue: make(chan chunk, 256)}
	var loops sync.WaitGroup
	defer loops.Wait()
	// Reading begins at once, so that what the client sends is stamped as it comes.
	loops.Go(there.readLoop)
	d.until(handshake.Add(d.each)) // when the server would hear of the connection
	b, err := net.Dial("tcp", d.to)
	if err != nil || !d.add(b) {
		_ = c.Close() // the client learns of it, and readLoop ends
		for range there.queue {
			continue
		}
		return
	}
	defer d.remove(b)
	there.to = b
	back := &pipe{d: d, from: b, to: c, queue: make(chan chunk, 256)}
	loops.Go(there.writeLoop)
	loops.Go(back.readLoop)
	loops.Go(back.writeLoop)
	loops.Wait()
}

// until waits for t, or the end of the delay.
func (d *delay) until(t time.Time) {
	wait := time.Until(t)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.closed:
	}
}

// A chunk is what was read at once, and when it arrives.
type chunk struct {
	p  []byte
	at time.Time
}

// A pipe is one direction of a connection.
type pipe struct {
	d         *delay
	from, to  net.Conn
	notBefore time.Time  // what was read before counts as sent then
	queue     chan chunk // sent and closed by readLoop
}

// readLoop ends with what it reads from; whoever started it waits for it.
func (p *pipe) readLoop() {
	defer close(p.queue)
	for {
		buf := make([]byte, 32<<10)
		n, err := p.from.Read(buf)
		if n > 0 {
			sent := time.Now()
			if sent.Before(p.notBefore) {
				sent = p.notBefore
			}
			p.queue <- chunk{buf[:n], sent.Add(p.d.each)}
		}
		if err != nil {
			return
		}
	}
}

// writeLoop ends with the queue; whoever started it waits for it. Where it cannot
// write, it drains the queue, so that readLoop can end.
func (p *pipe) writeLoop() {
	var err error
	for c := range p.queue {
		if err == nil {
			p.d.until(c.at)
			_, err = p.to.Write(c.p)
		}
		if err != nil {
			_ = p.from.Close() // the sender learns of it
		}
	}
	if t, ok := p.to.(*net.TCPConn); ok {
		p.d.until(time.Now().Add(p.d.each)) // the end of a stream takes its time too
		_ = t.CloseWrite()                  // it may be closed altogether
	}
}
