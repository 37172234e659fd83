package discovery_test

import (
	"crypto/ed25519"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// home is the network of most tests.
var home = discovery.Public("home").Network()

// keyOf returns the n-th of some fixed keys.
func keyOf(n byte) *kith.Key {
	key, err := kith.KeyFromSigner(ed25519.NewKeyFromSeed([]byte{31: n}))
	if err != nil {
		panic(err)
	}
	return key
}

// record makes a record of the network home that has a while to go.
func record(sequence uint64, addrs ...string) discovery.Record {
	return discovery.Record{Network: home, Sequence: sequence, Expires: time.Now().Add(time.Hour), Addrs: addrs}
}

// sign signs r, which must be possible, and returns its bytes.
func sign(t testing.TB, key *kith.Key, r discovery.Record) []byte {
	t.Helper()
	s, err := discovery.Sign(key, r)
	if err != nil {
		t.Fatalf("Sign(%+v) = %v, want nil", r, err)
	}
	return s.Append(nil)
}
