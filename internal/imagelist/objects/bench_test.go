package objects_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/imagelist/objects"
	"github.com/nodeseal/nodeseal/internal/kubeobject"
)

// BenchmarkPods reads a list of pods of the size that real ones have, with their
// managed fields, and collects what they name.
func BenchmarkPods(b *testing.B) {
	const pods = 1000
	var text strings.Builder
	text.WriteString(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[`)
	for i := range pods {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"metadata":{"name":"pod-%d","namespace":"n","labels":{"app":"x"},"managedFields":[%s]},"spec":{"containers":[`,
			i, strings.TrimSuffix(strings.Repeat(`{"manager":"m","operation":"Update","fieldsV1":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"X\"}":{".":{},"f:name":{},"f:value":{}}}}}}}},`, 12), ","))
		for c := range 3 {
			fmt.Fprintf(&text, `{"name":"c%d","image":"quay.io/a/image-%d%s","env":[%s],"volumeMounts":[{"name":"v","mountPath":"/x"}]},`, c, i%100, sum,
				strings.TrimSuffix(strings.Repeat(`{"name":"SETTING","value":"https://service.svc.cluster.local:8443/path"},`, 12), ","))
		}
		text.WriteString(`{"name":"last","image":"quay.io/a/last:v1"}]},"status":{"phase":"Running","containerStatuses":[{"name":"last","imageID":"quay.io/a/last` + sum + `"}]}}`)
	}
	text.WriteString("]}")
	data := text.String()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var c objects.Collector
		_, err := kubeobject.ReadList(bufio.NewReaderSize(strings.NewReader(data), 64<<10), func(raw []byte) error {
			o, err := kubeobject.Parse(raw, "v1", "Pod")
			c.Add(o)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		if n := c.Result().List.Len(); n != 101 {
			b.Fatalf("%d images", n)
		}
	}
}
