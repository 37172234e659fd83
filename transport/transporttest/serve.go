package transporttest

import (
	"io"

	"github.com/kith-go/kith/transport"
)

// serve accepts connections from l and echoes what comes over their streams,
// until l or the connections end.
func (r *run) serve(l transport.Listener) {
	r.start(func() {
		for {
			c, err := l.Accept(r.ctx)
			if err != nil {
				return
			}
			r.serveConn(r.wrap(c))
		}
	})
}

// serveConn echoes what comes over streams that the other end of c opens.
func (r *run) serveConn(c transport.Conn) {
	r.start(func() {
		for {
			s, err := c.AcceptStream(r.ctx)
			if err != nil {
				return
			}
			r.start(func() { serveStream(s) })
		}
	})
}

// serveStream is quiet about errors: the other end sees them.
func serveStream(s transport.Stream) {
	defer s.Close()
	buf := make([]byte, 16<<10)
	for {
		n, err := s.Read(buf)
		if n > 0 {
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
		if err == io.EOF {
			_ = s.CloseWrite()
			return
		}
		if err != nil {
			return
		}
	}
}
