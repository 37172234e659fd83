package quic

import (
	"crypto/rand"

	quicgo "github.com/quic-go/quic-go"
)

// tagLength is how many bytes of a tag connection IDs begin with.
const tagLength = 2

// An idTag begins all connection IDs that a listening socket gives out, so that a
// packet of none of its connections is told by its bytes alone. It is drawn anew for each
// socket. Who has a connection knows it: it keeps out noise, not packets that are made up
// with care. It tells an observer no more of a node that moves than the port it keeps does. It
// is quic-go's ConnectionIDGenerator.
type idTag [tagLength]byte

func newTag() *idTag {
	t := new(idTag)
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// GenerateConnectionID returns a new ID.
func (t *idTag) GenerateConnectionID() (quicgo.ConnectionID, error) {
	var id [connIDLength]byte
	copy(id[:], t[:])
	_, _ = rand.Read(id[tagLength:])
	return quicgo.ConnectionIDFromBytes(id[:]), nil
}

// ConnectionIDLen returns how many bytes one has.
func (t *idTag) ConnectionIDLen() int { return connIDLength }

// bytes returns the tag's two bytes, none if there is no tag.
func (t *idTag) bytes() []byte {
	if t == nil {
		return nil
	}
	return t[:]
}

// marks reports whether a packet of a connection bears the tag. No tag marks all.
func (t *idTag) marks(p []byte) bool {
	return t == nil || len(p) > tagLength && idTag(p[1:1+tagLength]) == *t
}
