package ration

import "time"

// What the other side of a connection may reset of the streams that it opens, over every
// transport: ResetBurst at once, and in the long run one each ResetInterval, which is
// 16,000 a second. Each takes this side about ten microseconds.
const (
	ResetInterval = time.Second / 16_000
	ResetBurst    = 128
)
