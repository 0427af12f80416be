package iso

import (
	"bytes"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
)

// Area is how many bytes the ISO of RHEL CoreOS has for an Ignition configuration, as it is
// embedded: the length of its file images/ignition.img.
const Area = 256 << 10

// configName is the name of the configuration in the area.
const configName = "config.ign"

// Embedded returns how many bytes a configuration takes in the area: it is the one file of a cpio
// archive that is compressed with xz, as coreos-installer iso ignition embed writes it. That
// one compresses a little better.
func Embedded(config []byte) (int64, error) {
	var out bytes.Buffer
	w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out)
	if err != nil {
		return 0, fmt.Errorf("compressing the Ignition configuration: %w", err)
	}
	err = writeCPIO(w, configName, config)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("compressing the Ignition configuration: %w", err)
	}
	return int64(out.Len()), nil
}

// writeCPIO writes an archive of one file in the format newc: a header of 110 bytes, the name and
// the content, each padded to 4 bytes, and an entry that ends it.
func writeCPIO(w io.Writer, name string, content []byte) error {
	for _, e := range []struct {
		name    string
		mode    int
		content []byte
	}{{name, 0o100644, content}, {"TRAILER!!!", 0, nil}} {
		var head bytes.Buffer
		head.WriteString("070701")
		for _, field := range []int{0, e.mode, 0, 0, 1, 0, len(e.content), 0, 0, 0, 0, len(e.name) + 1, 0} {
			fmt.Fprintf(&head, "%08x", field)
		}
		head.WriteString(e.name + "\x00")
		head.Write(make([]byte, -head.Len()&3))
		for _, part := range [][]byte{head.Bytes(), e.content, make([]byte, -len(e.content)&3)} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}
	return nil
}
