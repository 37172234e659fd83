package mdns

import (
	"slices"
	"strings"
	"testing"
)

func TestWildcardInodes(t *testing.T) {
	const table = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 11111 2 0000000000000000 0
  100: FB0000E0:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 22222 2 0000000000000000 0
  101: 00000000:14EA 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 33333 2 0000000000000000 0
  102: 00000000000000000000000000000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 44444 2 0 0
  103: 0100007F:14E9 00000000:0000 07
`
	if got, want := wildcardInodes(strings.NewReader(table)), []string{"11111", "44444"}; !slices.Equal(got, want) {
		t.Errorf("wildcardInodes() = %v, want %v", got, want)
	}
}
