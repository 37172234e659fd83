package quic

import (
	"time"

	quicgo "github.com/quic-go/quic-go"
)

const (
	idleTimeout      = 90 * time.Second // the session notices silence long before
	handshakeTimeout = 5 * time.Second  // of silence; a handshake may take twice that in all

	initialStreamWindow = 256 << 10
	maxStreamWindow     = 4 << 20
	initialConnWindow   = 1 << 20
	maxConnWindow       = 16 << 20

	// With quic-go's usual 4 bytes, connections of a busy server would begin
	// to share IDs: at 400,000 of them each new one is taken once in 10,000.
	connIDLength = 8
)

func quicConfig(maxStreams int) *quicgo.Config {
	streams := int64(maxStreams)
	if maxStreams < 0 {
		streams = 1 << 60 // the most that QUIC can say
	}
	return &quicgo.Config{
		HandshakeIdleTimeout:           handshakeTimeout,
		MaxIdleTimeout:                 idleTimeout,
		InitialStreamReceiveWindow:     initialStreamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: initialConnWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
		AllowConnectionWindowIncrease:  allowWindow,
		MaxIncomingStreams:             streams,
		MaxIncomingUniStreams:          -1,
		// A slot is free only once its owner here has finished the stream:
		// otherwise a peer that opens and resets makes work without bound.
		RequireStreamCreditRelease: true,
	}
}
