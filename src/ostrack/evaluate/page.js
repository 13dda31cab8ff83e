document.querySelectorAll('th[data-sort]').forEach(h=>h.addEventListener('click',()=>{
const t=h.closest('table'),b=t.tBodies[0],i=h.cellIndex,d=h.dataset.d=h.dataset.d==='1'?'-1':'1';
const v=r=>{const c=r.cells[i],x=parseFloat(c.dataset.v??c.textContent);return isNaN(x)?c.textContent:x};
[...b.rows].sort((p,q)=>{const a=v(p),z=v(q);return (a<z?-1:a>z?1:0)*d}).forEach(r=>b.append(r))}));
