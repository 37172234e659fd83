package discovery_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

func TestPeekReadsWithoutTheSignature(t *testing.T) {
	s, err := discovery.Sign(kith.NewKey(), discovery.Record{
		Network: discovery.Tag{1}, Sequence: 7, Expires: time.Unix(2e9, 0), Addrs: []string{"quic://192.168.1.7:4433"},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw := s.Append(nil)
	raw[len(raw)-1] ^= 1
	got, err := discovery.Peek(raw)
	if err != nil || !reflect.DeepEqual(got, s.Record()) {
		t.Errorf("Peek(record with a wrong signature) = %+v, %v, want %+v", got, err, s.Record())
	}
	if _, err := discovery.Peek(raw[:40]); !errors.Is(err, discovery.ErrRecord) {
		t.Errorf("Peek(40 bytes of a record) = %v, want %v", err, discovery.ErrRecord)
	}
}
