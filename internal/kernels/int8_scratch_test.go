package kernels
import ("testing";"math/rand/v2";"time";"fmt")
func BenchmarkScratch(b *testing.B) {
	rng := rand.New(rand.NewPCG(6, 20))
	const m,k,n=197,384,1536
	weight := randomPackedInt8(rng, k, n)
	bias:=normal(rng,n)
	a := quantize(normal(rng, m*k), k, m, k)
	c := make([]float32, m*n)
	fns:=map[string]func(){
		"plain":func(){GemmInt8(c, n, a.q, a.ld, a.scale, m, weight, Epilogue{Bias:bias})},
		"add":func(){GemmInt8(c, n, a.q, a.ld, a.scale, m, weight, Epilogue{Bias:bias,Add:true})},
		"gelu":func(){GemmInt8(c, n, a.q, a.ld, a.scale, m, weight, Epilogue{Bias:bias,GELU:true})},
		"geluonly":func(){GELU(c,c)},
	}
	for range b.N {}
	for _,name:=range []string{"plain","add","gelu","geluonly","plain","gelu"} {
		best:=time.Hour
		for range 60 { s:=time.Now(); fns[name](); best=min(best,time.Since(s)) }
		fmt.Println(name,best)
	}
}
