package quic

import "testing"

func TestTaggedIDs(t *testing.T) {
	tag := newTag()
	seen := make(map[string]bool)
	for range 1000 {
		id, err := tag.GenerateConnectionID()
		if err != nil {
			t.Fatalf("GenerateConnectionID() = %v", err)
		}
		if id.Len() != tag.ConnectionIDLen() || seen[string(id.Bytes())] {
			t.Fatalf("GenerateConnectionID() = %v, want %d bytes that were not there before", id, tag.ConnectionIDLen())
		}
		seen[string(id.Bytes())] = true
		if p := append([]byte{0x40}, id.Bytes()...); !tag.marks(p) {
			t.Fatalf("marks(%x) = false, want true", p)
		}
	}
}
