//go:build darwin || freebsd || linux

package quic

import (
	"time"

	"golang.org/x/net/ipv4"
)

// ReadBatch reads packets for quic-go, at least one of which has passed the sieve. What is kept
// of a message moves to the front: quic-go knows its buffers by their places.
func (s *udpSocket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		n, err := s.batch.ReadBatch(ms, flags)
		if err != nil {
			return 0, err
		}
		kept, now := 0, time.Now()
		for i := range ms[:n] {
			m := &ms[i]
			if !s.sieve.passes(m.Buffers[0][:m.N], m.Addr, now) {
				continue
			}
			if to := &ms[kept]; to != m {
				to.N = copy(to.Buffers[0], m.Buffers[0][:m.N])
				to.NN = copy(to.OOB, m.OOB[:m.NN])
				to.Addr, to.Flags = m.Addr, m.Flags
			}
			kept++
		}
		if kept > 0 {
			return kept, nil
		}
	}
}
