package seekable

import (
	"fmt"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// MaxLevel is the level that compresses best. The levels are those of
// klauspost/compress: fastest, default, better, best.
const MaxLevel = int(zstd.SpeedBestCompression)

// DefaultLevel is the level that fits most: docs/performance.md says what the
// others cost and gain. It is not the one that the library calls default.
const DefaultLevel = int(zstd.SpeedBetterCompression)

// ParseLevel reads a level: its number, 1 to MaxLevel, or its name.
func ParseLevel(s string) (int, error) {
	for level := 1; level <= MaxLevel; level++ {
		if s == strconv.Itoa(level) || s == LevelName(level) {
			return level, nil
		}
	}
	return 0, fmt.Errorf("compression level %q: want 1 to %d, or fastest, default, better, best", s, MaxLevel)
}

// LevelName is the name of a level, 1 to MaxLevel.
func LevelName(level int) string { return zstd.EncoderLevel(level).String() }

// window is the library's, a power of two, which no frame is longer than.
const window = 8 << 20

// smallFrame is how much content a frame may have that takes no buffer of FrameSize.
const smallFrame = 1 << 20

// encoderMemory bounds what all frames in the making take, in bytes: their content,
// the library's copies and tables, and the output.
const encoderMemory = 180 << 20

// tables is how much memory the library's tables take for one frame at a level.
func tables(level int) int {
	switch zstd.EncoderLevel(level) {
	case zstd.SpeedBestCompression:
		return 34 << 20
	case zstd.SpeedBetterCompression:
		return 5 << 20
	}
	return 4 << 20
}

// fillers is how many buffers there are for frames that are not complete yet,
// where there is room: as many layers can come at once without waiting.
const (
	fillers    = 8
	fewFillers = 4
)

// share divides encoderMemory: how many frames of a level are encoded at the same
// time, where jobs are asked for, and how many buffers of FrameSize there are.
func share(level, jobs int) (encoders, contents int) {
	each := window + FrameSize/2 + tables(level)
	encoders = min(jobs, (encoderMemory-fewFillers*FrameSize)/(each+FrameSize))
	return encoders, min(encoders+fillers, (encoderMemory-encoders*each)/FrameSize)
}
