import sys, time, torch
from dataclasses import replace
from mergebook.experiments import Store
from mergebook.page import open_suite
from mergebook.ch5 import encoders as E, asking as A, leaking as L, uses as U
from mergebook.protocols import EXPERT
torch.set_num_threads(1)
store=Store("book/studies/ch5","stored",0.0,0,1,"JOURNALS")
core=[*E.MERGES,E.BASE]
K=lambda *k:[f"k={i}" for i in k]
def work(which, phase):
    r=open_suite(which,"cpu"); ctx=dict(sources={r.mark:r.source},device="cpu")
    def go(exp,keys):
        t=time.time(); c=time.process_time(); keys=list(keys); out=store.table(exp,keys,**ctx); print(which,exp.name,len(keys),round(time.time()-t),round(time.process_time()-c),time.strftime("%H:%M"),flush=True); return out
    picked=E.best_settings(go(E.SETTINGS,E.settings_to_try(r)))
    print(picked,flush=True)
    enc=lambda m,pool=320: E.encoders(r,picked,m,pool,400)
    if phase=="core":
        go(A.ASKED, A.asked(enc([*core,EXPERT]),[A.HEAD]))
        go(A.ASKED, A.asked(enc(core),[A.FT],K(1,5)))
        go(A.ASKED, A.asked(enc([*core,EXPERT]),[A.ANCHORS],K(1,5)))
        go(A.ASKED, A.asked(enc([*core,EXPERT]),[A.PROTOTYPE,A.VOTE],K(5)))
        go(U.SEARCHED, enc([*core,EXPERT]))
        go(L.LEAKED, L.leaked(enc(core),[A.FT],[200]))
        go(L.LEAKED, L.leaked(enc([E.MERGES[0],E.BASE]),[A.FT],[25,50,100]))
        m=L.leaked(enc(core),[A.ALIGNED],[200])
        go(L.LEAKED, m if r.backbone.width<256 else [replace(k,rates=(3e-3,)) for k in m])
        go(A.ASKED, A.asked(enc(core),[A.LABELS],K(5)))
        go(A.ASKED, A.asked(enc(E.MERGES),[A.FT],["u=5","i=5"]))
        go(A.ASKED, A.asked(enc(E.MERGES),[A.FT],["u=5"],split="test"))
        go(A.ASKED, A.asked(enc([E.RANDOM,E.OTHERS]),[A.HEAD]))
        go(A.ASKED, A.asked(enc([E.RANDOM,E.OTHERS]),[A.FT],K(5)))
    if phase=="long":
        long=[e for e in enc([E.MERGES[0]],4000) if e.task=="senses"]
        go(L.LEAKED, L.leaked(long,[A.FT],[25,100,200,500,1000,2000],"train"))
    if phase=="rates":
        for split in ("train","test"):
            go(A.ASKED, A.asked(enc(core),[A.FT],[f"n={n}" for n in (2,4,10,20,40)],split=split))
for a in sys.argv[1:]: work(*a.split(":"))
print("done",flush=True)
