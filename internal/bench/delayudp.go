package main

import (
	"io"
	"net"
	"time"
)

// datagramLoop carries datagrams of clients, each from a socket of its own. It ends with
// the delay's socket; Close waits for it.
func (d *delay) datagramLoop() {
	flows := map[string]*flow{}
	defer func() {
		for _, f := range flows {
			close(f.queue)
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, from, err := d.pc.ReadFrom(buf)
		if err != nil {
			return
		}
		f := flows[from.String()]
		if f == nil {
			if len(flows) == maxFlows {
				for k, old := range flows {
					close(old.queue)
					delete(flows, k)
					break
				}
			}
			if f = d.newFlow(from); f == nil {
				continue
			}
			flows[from.String()] = f
		}
		select {
		case f.queue <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(d.each)}:
		default: // the queue is full: a datagram may be lost
		}
	}
}

// maxFlows is how many client addresses are remembered; the next one ends one of them.
const maxFlows = 4096

// A flow is what one client address sends and gets. It runs sendLoop, replyLoop and
// deliverLoop.
type flow struct {
	d       *delay
	client  net.Addr
	server  net.Conn
	queue   chan chunk // sent and closed by datagramLoop
	replies chan chunk // sent and closed by replyLoop
}

// newFlow returns nil if there can be none.
func (d *delay) newFlow(client net.Addr) *flow {
	c, err := net.Dial("udp", d.to)
	if err != nil || !d.add(io.Closer(c)) {
		return nil
	}
	f := &flow{d: d, client: client, server: c, queue: make(chan chunk, 1024), replies: make(chan chunk, 1024)}
	d.wg.Go(f.sendLoop)
	d.wg.Go(f.replyLoop)
	d.wg.Go(f.deliverLoop)
	return f
}

// sendLoop ends with the queue, and closes the flow's socket; Close waits for it.
func (f *flow) sendLoop() {
	defer f.d.remove(f.server)
	for c := range f.queue {
		f.d.until(c.at)
		_, _ = f.server.Write(c.p) // a datagram may be lost
	}
}

// replyLoop ends with the flow's socket; Close waits for it.
func (f *flow) replyLoop() {
	defer close(f.replies)
	buf := make([]byte, 64<<10)
	for {
		n, err := f.server.Read(buf)
		if err != nil {
			return
		}
		select {
		case f.replies <- chunk{append([]byte(nil), buf[:n]...), time.Now().Add(f.d.each)}:
		default: // as above
		}
	}
}

// deliverLoop ends with replyLoop; Close waits for it.
func (f *flow) deliverLoop() {
	for c := range f.replies {
		f.d.until(c.at)
		_, _ = f.d.pc.WriteTo(c.p, f.client) // a datagram may be lost
	}
}
